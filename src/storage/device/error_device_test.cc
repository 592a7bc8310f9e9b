// Why this file exists: the fault rules themselves, since every crash test stands on them.
#include "storage/device/error_device.h"

#include "storage/device/memory_device.h"
#include "storage/device/test_support.h"

namespace capstan::storage {
namespace {

class Injecting : public DeviceTest {
 protected:
  std::shared_ptr<MemoryDevice> memory_ =
      std::make_shared<MemoryDevice>("m0", Uuid::from_name("m0"), 512, 2048);
  ErrorInjectingDevice device_{memory_};
  Bytes block_ = pattern(512, 1);

  Code write_code(std::uint64_t offset) { return code_of(device_.write(offset, block_)); }
  Code read_code(std::uint64_t offset) { return code_of(device_.read(offset, block_)); }
};

TEST_F(Injecting, PassesEverythingWithoutRules) {
  write(device_, 512, block_);
  EXPECT_EQ(read_all(*memory_, 512, 512), block_);
  EXPECT_TRUE(run(device_.flush()));
  EXPECT_TRUE(run(device_.unmap(512, 512)));
  EXPECT_TRUE(run(device_.write_zeroes(512, 512)));
  EXPECT_TRUE(run(device_.allocated(0, 512)));
  EXPECT_EQ(device_.operations(), 4U);
  EXPECT_EQ(device_.operations(IoKind::kWrite), 1U);
  EXPECT_EQ(device_.operations(IoKind::kFlush), 1U);
  EXPECT_EQ(device_.failures(), 0U);
  EXPECT_EQ(device_.name(), "m0");
}

TEST_F(Injecting, TheNthOperationFailsOnce) {
  const auto rule = device_.inject({.kinds = {IoKind::kWrite}, .skip = 2, .count = 1});
  EXPECT_EQ(write_code(0), Code::kOk);
  EXPECT_EQ(read_code(0), Code::kOk);
  EXPECT_EQ(write_code(512), Code::kOk);
  EXPECT_EQ(write_code(1024), Code::kInternal);
  EXPECT_EQ(write_code(1024), Code::kOk);
  EXPECT_EQ(device_.fired(rule), 1U);
  EXPECT_EQ(device_.failures(), 1U);
}

TEST_F(Injecting, AFailedWriteChangesNothing) {
  device_.inject({.kinds = {IoKind::kWrite}});
  const auto failed = run(device_.write(0, block_));
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().sys_errno, EIO);
  EXPECT_NE(failed.error().text().find("injected"), std::string::npos);
  EXPECT_TRUE(all_zero(read_all(*memory_, 0, 512)));
}

TEST_F(Injecting, RangesTouchOrDoNot) {
  device_.inject({.kinds = {IoKind::kRead}, .offset = 1024, .length = 512});
  EXPECT_EQ(read_code(512), Code::kOk);
  EXPECT_EQ(read_code(1024), Code::kInternal);
  EXPECT_EQ(read_code(1536), Code::kOk);
  Bytes large(2048);
  EXPECT_EQ(code_of(device_.read(0, large)), Code::kInternal);
  EXPECT_EQ(write_code(1024), Code::kOk);
}

TEST_F(Injecting, CodesAndErrnosAreTheRules) {
  device_.inject(
      {.kinds = {IoKind::kFlush}, .code = Code::kResourceExhausted, .sys_errno = ENOSPC});
  const auto failed = run(device_.flush());
  EXPECT_EQ(failed.error().code, Code::kResourceExhausted);
  EXPECT_EQ(failed.error().sys_errno, ENOSPC);
}

TEST_F(Injecting, PowerCut) {
  device_.cut_power(2);
  EXPECT_FALSE(device_.power_is_off());
  EXPECT_EQ(write_code(0), Code::kOk);
  EXPECT_TRUE(device_.power_is_off());
  EXPECT_EQ(write_code(512), Code::kInternal);
  EXPECT_EQ(read_code(0), Code::kInternal);
  EXPECT_EQ(code_of(device_.flush()), Code::kInternal);
  device_.clear();
  EXPECT_EQ(read_code(0), Code::kOk);
  EXPECT_TRUE(all_zero(read_all(device_, 512, 512)));
  device_.cut_power();
  EXPECT_EQ(read_code(0), Code::kInternal);
}

TEST_F(Injecting, RulesCanBeTakenBack) {
  const auto rule = device_.inject({});
  EXPECT_EQ(read_code(0), Code::kInternal);
  device_.remove(rule);
  EXPECT_EQ(read_code(0), Code::kOk);
}

TEST_F(Injecting, OneByteBecomesAnother) {
  write(*memory_, 0, block_);
  Bytes got(512);
  device_.inject({.kinds = {IoKind::kRead},
                  .count = 1,
                  .action = InjectedFault::Action::kCorrupt,
                  .corrupt_offset = 7,
                  .corrupt_value = static_cast<std::uint8_t>(block_[7] + 1)});
  EXPECT_TRUE(run(device_.read(0, got)));
  EXPECT_EQ(got[7], static_cast<std::uint8_t>(block_[7] + 1));
  EXPECT_TRUE(run(device_.read(0, got)));
  EXPECT_EQ(got, block_);
  device_.inject({.kinds = {IoKind::kWrite},
                  .action = InjectedFault::Action::kCorrupt,
                  .corrupt_offset = 512,
                  .corrupt_value = 1});
  write(device_, 0, block_);  // beyond the data: nothing changes
  EXPECT_EQ(read_all(*memory_, 0, 512), block_);
}

TEST_F(Injecting, AnIdentityOfItsOwn) {
  ErrorInjectingDevice beside(memory_, "EE_m0", Uuid::from_name("EE_m0"));
  EXPECT_EQ(beside.name(), "EE_m0");
  EXPECT_EQ(beside.product(), "Error Injection Disk");
  EXPECT_EQ(beside.uuid(), Uuid::from_name("EE_m0"));
  EXPECT_EQ(beside.size_bytes(), memory_->size_bytes());
}

}  // namespace
}  // namespace capstan::storage
