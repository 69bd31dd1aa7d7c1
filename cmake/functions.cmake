# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause

# sources(VAR pattern...) - the files, looked up again at each build.
macro(sources var)
  file(GLOB ${var} CONFIGURE_DEPENDS ${ARGN})
endmacro()

# add_static(name file...) - a static library that is not installed.
function(add_static name)
  if(ARGN)
    add_library(${name} STATIC ${ARGN})
    target_link_libraries(${name} PRIVATE house)
  else()
    add_library(${name} INTERFACE)
  endif()
endfunction()

# add_program(name "file;file" library...) - a program in bin/, if it has sources.
function(add_program name files)
  if(files)
    add_executable(${name} ${files})
    target_link_libraries(${name} PRIVATE house ${ARGN})
    set_target_properties(${name} PROPERTIES INSTALL_RPATH $ORIGIN/${lib_from_bin})
  endif()
endfunction()

# add_tests(label "file;file" LIBS lib... COMMON file... RUN command...) - each file is one
# test program, named after the file, linked with the files of COMMON, which are
# compiled once for all, and started through RUN.
function(add_tests label files)
  cmake_parse_arguments(PARSE_ARGV 2 t "" "" "LIBS;COMMON;RUN")
  set(common)
  if(t_COMMON)
    set(common $<TARGET_OBJECTS:${label}_common>)
    add_library(${label}_common OBJECT ${t_COMMON})
    target_link_libraries(${label}_common PRIVATE house ${t_LIBS} PkgConfig::cmocka)
    target_compile_definitions(${label}_common PRIVATE VIPL_BINDIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
  endif()
  foreach(file ${files})
    get_filename_component(stem ${file} NAME_WE)
    string(REGEX REPLACE "^test_" "" stem ${stem})
    set(name ${label}_${stem})
    add_executable(${name} ${file} ${common})
    set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests/${label})
    target_link_libraries(${name} PRIVATE house ${t_LIBS} PkgConfig::cmocka)
    target_compile_definitions(${name} PRIVATE VIPL_BINDIR="${CMAKE_RUNTIME_OUTPUT_DIRECTORY}")
    add_test(NAME ${label}.${stem} COMMAND ${t_RUN} $<TARGET_FILE:${name}>)
    set_tests_properties(${label}.${stem} PROPERTIES LABELS ${label} TIMEOUT 600 SKIP_RETURN_CODE 77)
  endforeach()
endfunction()
