// Why this file exists: a power cut finds a missing barrier only when it falls into the right
// moment and loses the right write. This watcher needs no luck: at every write it holds what the
// medium would show if the power failed now against what the disk shows, and names the promise of
// lvs-format section 14.2 that the write breaks:
//
//     I1  metadata or masks are written while the durable super block says "unloaded"
//     I2  a metadata page that something durable is read through is overwritten
//     I3  a page or cluster is named before its content is durable; a super block says "unloaded"
//         before its masks are
//     I4  a page or cluster that only the durable state still names is used for something else
//
// It reads the disk with the independent reader, twice per change of metadata: for small disks.
// Thread-safety: one thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/sim_disk.h"
#include "sim/lvs_reader.h"

namespace capstan::sim {

class OrderWatch final : public core::SimDiskWatcher {
 public:
  // `report` hears of the first break. `extents_in_place`: extent pages may be written over.
  OrderWatch(core::SimDisk& disk, bool extents_in_place, std::function<void(std::string)> report);
  ~OrderWatch() override;

  void begins(std::uint64_t offset, std::uint64_t length) override;
  void completed(std::uint64_t offset, std::uint64_t length) override;
  void settled() override { durable_.reset(); }
  void power_failed() override {
    durable_.reset();
    now_.reset();
  }

  // How many reads of the disk there were: a watch that saw nothing proves nothing.
  std::uint64_t readings() const { return readings_; }

 private:
  enum class Use { kRoot, kChain, kExtents };
  struct Owner {
    std::uint64_t blob;
    Use use;
    bool operator==(const Owner&) const = default;
  };
  struct State {
    LvsImage image;
    std::map<std::uint64_t, Owner> pages;             // metadata page → who names it
    std::map<std::uint64_t, std::uint64_t> clusters;  // cluster → blob
    bool usable() const {
      return image.state == LvsImage::State::kDirty || image.state == LvsImage::State::kClean;
    }
  };
  State read(bool durable);
  const State& now();
  const State& durable();
  void check_page(std::uint64_t page);
  void check_cluster(std::uint64_t cluster);
  void check_named(const State& before);
  bool same(std::uint64_t offset, std::uint64_t length) const;
  void report(std::string text);

  core::SimDisk& disk_;
  bool extents_in_place_;
  std::function<void(std::string)> report_;
  std::optional<State> now_, durable_;
  std::uint64_t readings_ = 0;
};

}  // namespace capstan::sim
