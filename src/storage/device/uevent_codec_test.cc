// Why this file exists: messages of the kernel as Linux sends them, and as it does not.
#include "storage/device/uevent_codec.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace capstan::storage {
namespace {

std::string message(std::initializer_list<std::string_view> lines) {
  std::string out;
  for (const auto line : lines) out += std::string(line) + '\0';
  return out;
}

// As a 6.18 kernel sends them: `losetup --set-capacity`, and a device of another kind.
const std::string kResize =
    message({"change@/devices/virtual/block/loop7", "ACTION=change",
             "DEVPATH=/devices/virtual/block/loop7", "SUBSYSTEM=block", "RESIZE=1", "MAJOR=7",
             "MINOR=7", "DEVNAME=loop7", "DEVTYPE=disk", "DISKSEQ=8", "SEQNUM=826"});
const std::string kNet =
    message({"add@/devices/virtual/net/veth0", "ACTION=add", "DEVPATH=/devices/virtual/net/veth0",
             "SUBSYSTEM=net", "INTERFACE=veth0", "IFINDEX=4", "SEQNUM=827"});

TEST(UeventCodec, TakesWhatIsNeeded) {
  const auto event = parse_block_uevent(as_bytes(kResize));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->action, "change");
  EXPECT_EQ(event->name, "loop7");
  EXPECT_EQ(event->major, 7U);
  EXPECT_EQ(event->minor, 7U);
  EXPECT_TRUE(event->resized);
  EXPECT_FALSE(event->made_up);
}

TEST(UeventCodec, KnowsWhatSomebodyAskedFor) {
  const std::string made_up = message({"remove@/devices/x/sda", "SUBSYSTEM=block", "SYNTH_UUID=0",
                                       "MAJOR=8", "MINOR=0", "DEVNAME=sda"});
  const auto event = parse_block_uevent(as_bytes(made_up));
  ASSERT_TRUE(event);
  EXPECT_EQ(event->action, "remove");
  EXPECT_TRUE(event->made_up);
  EXPECT_FALSE(event->resized);
}

TEST(UeventCodec, LeavesOtherThingsAlone) {
  EXPECT_FALSE(parse_block_uevent(as_bytes(kNet)));
  EXPECT_FALSE(parse_block_uevent({}));
  for (const auto& lines : {
           message({"libudev", "SUBSYSTEM=block", "MAJOR=8", "MINOR=0"}),  // of udev, not of Linux
           message({"@/devices/x", "SUBSYSTEM=block", "MAJOR=8", "MINOR=0"}),
           message({"remove@/x", "SUBSYSTEM=block", "MAJOR=8"}),
           message({"remove@/x", "SUBSYSTEM=block", "MAJOR=8", "MINOR="}),
           message({"remove@/x", "SUBSYSTEM=block", "MAJOR=8", "MINOR=0x1"}),
           message({"remove@/x", "SUBSYSTEM=block", "MAJOR=-8", "MINOR=0"}),
           message({"remove@/x", "SUBSYSTEM=block", "MAJOR=4294967296", "MINOR=0"}),
           message({"remove@/x", "SUBSYSTEM", "MAJOR=8", "MINOR=0"}),
           message({"remove@/x", "SUBSYSTEM=blocks", "MAJOR=8", "MINOR=0"}),
       }) {
    EXPECT_FALSE(parse_block_uevent(as_bytes(lines))) << lines;
  }
}

// The receiver's room may be too small: half a number is none.
TEST(UeventCodec, TakesNoMessageThatWasCut) {
  for (std::size_t size = 0; size < kResize.size(); ++size) {
    const auto event = parse_block_uevent(as_bytes(kResize).first(size));
    if (kResize[size == 0 ? 0 : size - 1] != '\0') EXPECT_FALSE(event) << size;
    if (event) EXPECT_EQ(event->minor, 7U) << size;
  }
}

TEST(UeventCodec, SurvivesAnyBytes) {
  std::mt19937 random(1);
  std::size_t taken = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<std::uint8_t> bytes(kResize.begin(), kResize.end());
    for (auto changes = random() % 4; changes != 0; --changes) {
      bytes[random() % bytes.size()] = static_cast<std::uint8_t>(random() % 256);
    }
    const auto event = parse_block_uevent(bytes);
    if (!event) continue;
    ++taken;
    EXPECT_FALSE(event->action.empty());
  }
  EXPECT_GT(taken, 5'000U);
  EXPECT_LT(taken, 20'000U);
}

}  // namespace
}  // namespace capstan::storage
