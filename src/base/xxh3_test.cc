// Why this file exists: the values that the formats depend on (muxio-wire section 6.2).
#include "base/xxh3.h"

#include <gtest/gtest.h>

#include <vector>

namespace capstan {
namespace {

TEST(Xxh3, Texts) {
  EXPECT_EQ(xxh3_64(as_bytes("")), 0x2d06800538d394c2ULL);
  EXPECT_EQ(xxh3_64(as_bytes("a")), 0xe6c632b61e964e1fULL);
  EXPECT_EQ(xxh3_64(as_bytes("abc")), 0x78af5f94892f3950ULL);
  EXPECT_EQ(xxh3_64(as_bytes("hello")), 0x9555e8555c62dcfdULL);
  EXPECT_EQ(xxh3_64(as_bytes("0123456789abcdef")), 0x64439946d8fa212dULL);
  EXPECT_EQ(xxh3_64(as_bytes("0123456789abcdefg")), 0xd2e63ed5466f5c32ULL);
}

TEST(Xxh3, EveryLengthClass) {
  struct Row {
    std::size_t size;
    std::uint64_t hash;
  };
  static constexpr Row kRows[] = {
      {1, 0xc44bdff4074eecdb},    {3, 0x5f4299fc161c9cbb},    {4, 0x60dab036a58211f2},
      {8, 0x3a1c2d7c85af88f8},    {9, 0xe9612598145bb9dc},    {16, 0x8355e3a6f61770db},
      {17, 0x9ef341a99de37328},   {32, 0x3523581fe96e4c05},   {64, 0x6187eb9089b0ed55},
      {96, 0x278a3e12ea046dfb},   {128, 0x85c6174c7ff4c46b},  {129, 0xec7642b431ba3e5a},
      {160, 0x5bea9075ec9401b8},  {192, 0x981eb7df4a4911d7},  {240, 0x375a384d957fe865},
      {241, 0x02e8cd95421c6d02},  {256, 0x44f5d90dacde463a},  {512, 0x5c021aac13954143},
      {1024, 0xe5d78bafa45b2aa5}, {1025, 0xe95c42288f28186e}, {4096, 0x7135ffa504f1bc71},
  };
  for (const Row& row : kRows) {
    std::vector<std::uint8_t> bytes(row.size);
    for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i % 251);
    EXPECT_EQ(xxh3_64(bytes), row.hash) << row.size;
  }
}

}  // namespace
}  // namespace capstan
