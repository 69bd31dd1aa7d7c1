# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#
# Becomes the CMakeLists.txt of a project that uses softvia as an installed package.

cmake_minimum_required(VERSION 3.18)
project(client LANGUAGES C)
find_package(softvia 1.0 REQUIRED)
foreach(kind vipl vipl_static)
  add_executable(client_${kind} client.c)
  target_link_libraries(client_${kind} PRIVATE softvia::${kind})
endforeach()
