# find_package(cairnlog) gives the targets cairnlog::cairnlog (shared) and cairnlog::static.
# The paths are relative to this file, so the installation can be moved.

get_filename_component(_cairnlog_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

include(CMakeFindDependencyMacro)
find_dependency(Threads)

if(NOT TARGET cairnlog::cairnlog)
  add_library(cairnlog::cairnlog SHARED IMPORTED)
  set_target_properties(cairnlog::cairnlog PROPERTIES
    IMPORTED_LOCATION "${_cairnlog_prefix}/lib/libcairnlog.so.@VERSION@"
    IMPORTED_SONAME "libcairnlog.so.@SONAME_MAJOR@"
    INTERFACE_INCLUDE_DIRECTORIES "${_cairnlog_prefix}/include")
endif()

if(NOT TARGET cairnlog::static)
  add_library(cairnlog::static STATIC IMPORTED)
  set_target_properties(cairnlog::static PROPERTIES
    IMPORTED_LOCATION "${_cairnlog_prefix}/lib/libcairnlog.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_cairnlog_prefix}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m;gcc_s")
endif()

foreach(_cairnlog_file "include/cairnlog.h" "lib/libcairnlog.so.@VERSION@" "lib/libcairnlog.a")
  if(NOT EXISTS "${_cairnlog_prefix}/${_cairnlog_file}")
    set(cairnlog_FOUND FALSE)
    set(cairnlog_NOT_FOUND_MESSAGE
      "${_cairnlog_prefix}/${_cairnlog_file} is missing; install cairnlog again")
  endif()
endforeach()
unset(_cairnlog_file)
unset(_cairnlog_prefix)
