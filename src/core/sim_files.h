// Why this file exists: the simulated file system of one node. File contents are SimDisks of kind
// file (unsynced data is lost or torn); names live in a journal: creating, renaming and removing
// take effect at once, survive a power cut only in order, and surely only after sync_directory()
// of the directory they happened in. Directories themselves are durable when made.
// Paths of the node's disks are opened here too, as block devices.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/env.h"
#include "core/sim_disk.h"

namespace capstan::core {

class SimFileSystem final : public FileSystem, SimPower::Listener {
 public:
  using Disks = std::map<std::string, std::unique_ptr<SimDisk>>;
  // `disks` belongs to the node and may grow.
  SimFileSystem(SimWorld& world, SimPower& power, Disks& disks);
  ~SimFileSystem() override;

  Task<Result<std::unique_ptr<File>>> open(std::string path, OpenOptions options) override;
  Task<Result<void>> rename(std::string from, std::string to) override;
  Task<Result<void>> remove(std::string path) override;
  Task<Result<void>> make_directories(std::string path) override;
  Task<Result<std::vector<std::string>>> list(std::string path) override;
  Task<Result<void>> sync_directory(std::string path) override;

 private:
  using Inode = std::shared_ptr<SimDisk>;
  using Names = std::map<std::string, Inode>;
  // One step of the journal: `remove` goes away, `add` names `inode`; either may be empty.
  struct Step {
    std::string remove, add;
    Inode inode;
    bool in(const std::string& directory) const;
  };

  void power_failed(SimPower::Cut cut) override;
  static void apply(Names& names, const Step& step);
  void record(Step step);
  // Counts as an I/O and takes time; EIO when the power is or goes off.
  Task<Result<void>> perform();
  Result<std::unique_ptr<File>> open_disk(SimDisk& disk, const std::string& path,
                                          OpenOptions options);

  SimWorld& world_;
  SimPower& power_;
  Disks& disks_;
  std::set<std::string> directories_{"/"};
  Names names_, durable_;
  std::deque<Step> journal_;
};

}  // namespace capstan::core
