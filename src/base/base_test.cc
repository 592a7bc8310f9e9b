// Why this file exists: the vocabulary every format stands on: errors, bytes, checksums, UUIDs.
#include <gtest/gtest.h>

#include <cerrno>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/result.h"
#include "base/uuid.h"

namespace capstan {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(Code::kInvalidArgument, "odd");
  return value / 2;
}
Result<int> quarter(int value) {
  TRY_SET(const int once, half(value));
  TRY_SET(const int twice, half(once));
  return twice;
}

TEST(Result, TryReturnsTheFirstError) {
  EXPECT_EQ(*quarter(8), 2);
  EXPECT_EQ(quarter(6).error().code, Code::kInvalidArgument);
}

TEST(Result, TextShowsTheOutermostStepFirst) {
  Error error{Code::kNotFound, ENOENT, "no such file", {}};
  error = std::move(error).within("open disk").within("import pool 'p'");
  EXPECT_EQ(error.text(), "import pool 'p': open disk: no such file");
}

TEST(Result, ErrnoKeepsItsNumberAndMapsToTheCanonicalCode) {
  const Result<void> missing = fail_errno(ENOENT, "open '/x'");
  EXPECT_EQ(missing.error().code, Code::kNotFound);
  EXPECT_EQ(missing.error().sys_errno, ENOENT);
  EXPECT_EQ(missing.error().message, "open '/x': No such file or directory");
  EXPECT_EQ((Result<void>(fail_errno(ENOSPC, "w"))).error().code, Code::kResourceExhausted);
  EXPECT_EQ((Result<void>(fail_errno(EIO, "w"))).error().code, Code::kInternal);
}

TEST(Result, EveryCodeHasAName) {
  EXPECT_EQ(code_name(Code::kOk), "OK");
  EXPECT_EQ(code_name(Code::kUnauthenticated), "UNAUTHENTICATED");
  EXPECT_EQ(code_name(static_cast<Code>(99)), "UNKNOWN");
}

TEST(Checksum, Crc32cCheckValue) {
  EXPECT_EQ(crc32c(as_bytes("123456789")), 0xE3069283U);
  const std::uint8_t zeros[4092] = {};
  EXPECT_EQ(crc32c(zeros), 0xA732586EU);  // lvs-format section 5.1
}

TEST(Bytes, LoadsAndStoresAreEndianExplicit) {
  std::uint8_t raw[8] = {};
  store_le<std::uint32_t>(raw, 0x01020304);
  EXPECT_EQ(raw[0], 4);
  EXPECT_EQ(load_be32(raw), 0x04030201U);
  store_be32(raw, 0x01020304);
  EXPECT_EQ(raw[0], 1);
}

TEST(Bytes, AllZeroLooksAtEveryByte) {
  std::uint8_t raw[513] = {};
  EXPECT_TRUE(all_zero(raw));
  for (std::size_t i : {std::size_t{0}, std::size_t{256}, std::size_t{512}}) {
    raw[i] = 1;
    EXPECT_FALSE(all_zero(raw)) << i;
    raw[i] = 0;
  }
  EXPECT_TRUE(all_zero({}));
}

TEST(Uuid, AcceptsTheUsualFormsAndPrintsOne) {
  const std::string canonical = "6c8d9f1e-2b3a-4c5d-8e7f-0a1b2c3d4e5f";
  for (const char* form :
       {"6c8d9f1e-2b3a-4c5d-8e7f-0a1b2c3d4e5f", "6C8D9F1E-2B3A-4C5D-8E7F-0A1B2C3D4E5F",
        "6c8d9f1e2b3a4c5d8e7f0a1b2c3d4e5f", "{6c8d9f1e-2b3a-4c5d-8e7f-0a1b2c3d4e5f}",
        "urn:uuid:6c8d9f1e-2b3a-4c5d-8e7f-0a1b2c3d4e5f"}) {
    const auto parsed = Uuid::parse(form);
    ASSERT_TRUE(parsed) << form;
    EXPECT_EQ(parsed->text(), canonical);
  }
  for (const char* bad :
       {"", "6c8d9f1e", "6c8d9f1e-2b3a-4c5d-8e7f-0a1b2c3d4e5g",
        "6c8d9f1e-2b3a-4c5d-8e7f_0a1b2c3d4e5f", "6c8d9f1e-2b3a-4c5d-8e7f-0a1b2c3d4e5f0"}) {
    EXPECT_FALSE(Uuid::parse(bad)) << bad;
  }
}

TEST(Uuid, StampsVersionAndVariant) {
  std::array<std::uint8_t, 16> random;
  random.fill(0xFF);
  EXPECT_EQ(Uuid::from_random(random).text(), "ffffffff-ffff-4fff-bfff-ffffffffffff");
  EXPECT_EQ(Uuid::from_name("/dev/sdb"), Uuid::from_name("/dev/sdb"));
  EXPECT_NE(Uuid::from_name("/dev/sdb"), Uuid::from_name("/dev/sdc"));
}

}  // namespace
}  // namespace capstan
