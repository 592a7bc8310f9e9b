# Why this file exists: how tests are declared. Every test program is a GoogleTest program that CTest
# runs as a whole; test.sh adds up the cases of all of them.
find_package(GTest REQUIRED)   # libgtest-dev, libgmock-dev

add_library(capstan_testing INTERFACE)
target_link_libraries(capstan_testing INTERFACE GTest::gtest GTest::gmock GTest::gtest_main)
target_compile_definitions(capstan_testing INTERFACE
  CAPSTAN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" CAPSTAN_BINARY_DIR="${CMAKE_BINARY_DIR}")

# capstan_add_test(<name> <target> [arguments…]); results land in build/<preset>/results/<name>.xml.
function(capstan_add_test name target)
  add_test(NAME ${name} COMMAND ${target} --gtest_output=xml:${CMAKE_BINARY_DIR}/results/${name}.xml ${ARGN})
  set_tests_properties(${name} PROPERTIES TIMEOUT 600)
endfunction()
