#include "base/path.h"

#include <gtest/gtest.h>

namespace capstan {
namespace {

TEST(Path, FolderOfAName) {
  EXPECT_EQ(folder_of("/a/b/c"), "/a/b");
  EXPECT_EQ(folder_of("a/b"), "a");
  EXPECT_EQ(folder_of("/b"), "/");
  EXPECT_EQ(folder_of("b"), ".");
  EXPECT_EQ(folder_of("a/"), "a");
}

}  // namespace
}  // namespace capstan
