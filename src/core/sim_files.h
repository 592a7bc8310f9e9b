// Why this file exists: the simulated file system of one node. File contents are SimDisks of kind
// file (unsynced data is lost or torn); names live in a journal: creating, renaming and removing
// take effect at once, survive a power cut only in order, and surely only after sync_directory()
// of the directory they happened in. Directories themselves are durable when made.
// Paths of the node's disks are opened here too, as block devices; pull() takes one out of the
// machine, and the kernel says so as a real one does.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "core/block_events.h"
#include "core/env.h"
#include "core/sim_disk.h"
#include "core/sync.h"

namespace capstan::core {

// Of the disk at that path: the same in every run.
BlockNumber sim_block_number(const std::string& path);

class SimFileSystem final : public FileSystem, public BlockEvents, SimPower::Listener {
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

  Result<std::unique_ptr<KernelMessages>> listen_kernel() override;
  std::optional<bool> is_there(BlockNumber number) const override;
  // The disk at that path is gone: its handles answer ENXIO, it cannot be opened, and whoever
  // listens is told.
  void pull(const std::string& path);
  // A message as the kernel would send it, to whoever listens.
  void announce(ByteView message);
  // Whoever asks to listen from now on is refused, as in a container.
  void refuse_listening() { refuses_listening_ = true; }
  // The kernel's message about the disk at that path, with `more` ("RESIZE=1") at its end if given.
  static std::string message_about(const std::string& path, const std::string& action,
                                   const std::string& more = {});

 private:
  class Messages;
  friend class Messages;
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
  std::set<Messages*> listeners_;
  std::set<std::string> pulled_;
  bool refuses_listening_ = false;
};

}  // namespace capstan::core
