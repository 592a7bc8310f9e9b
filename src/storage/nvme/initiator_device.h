// Why this file exists: a namespace of a remote subsystem as a Device, over one or more paths
// (controllers). Requests are cut to what a command may carry; a command goes to the best path that
// works, and again, to the same or another one, when its connection is lost or the target says that
// it may pass. When no path works it waits as long as one may come back (HostOptions: fast_io_fail,
// ctrl_loss); then it fails with kUnavailable and EIO.
//
// A request of several commands that write is repeated as a whole when a path reconnected in
// between: a target that was started anew may have lost what it had acknowledged of it.
// A request that is repeated may have been done twice: reads, writes, flushes, unmaps and zeroes do
// not mind. Reservation commands and compare are not repeated after a loss.
// The paths show one namespace: same id, same UUID, same blocks. A path that shows another one (or
// the same id with another disk after a reconnect) is not used, and says so.
// Thread-safety: one core.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/sync.h"
#include "storage/device/device.h"
#include "storage/nvme/initiator_controller.h"
#include "storage/nvme/reservations.h"

namespace capstan::storage::nvme {

// Which of the best paths a command takes: always the same one, or all of them.
struct PathPolicy {
  enum class Choice : std::uint8_t { kOne, kInTurn, kLeastBusy } choice = Choice::kOne;
  std::uint32_t commands = 1;  // kInTurn: before it is the next one's turn
  // kOne: back to an earlier path as soon as that is as good; else only when the present one fails.
  bool failback = true;
};

class RemoteDevice final : public Device, private HostController::Listener {
 public:
  // kNotFound (ENODEV): the controller has no such namespace, or one that devices cannot be made
  // of. `uuid` replaces the namespace's in lists when it has none.
  static Result<std::shared_ptr<RemoteDevice>> make(std::shared_ptr<HostController> controller,
                                                    std::uint32_t nsid, std::string name,
                                                    Uuid uuid_if_none);
  ~RemoteDevice() override;

  const std::string& name() const override { return name_; }
  Uuid uuid() const override { return uuid_; }
  std::uint32_t block_size() const override { return block_size_; }
  std::uint64_t num_blocks() const override { return num_blocks_; }
  std::string_view product() const override { return "NVMe disk"; }
  core::Task<Result<void>> read(std::uint64_t offset, MutableBytes into) override;
  core::Task<Result<void>> write(std::uint64_t offset, ByteView from) override;
  core::Task<Result<void>> flush() override;
  core::Task<Result<void>> unmap(std::uint64_t offset, std::uint64_t length) override;
  core::Task<Result<void>> write_zeroes(std::uint64_t offset, std::uint64_t length) override;
  bool supports_unmap() const override { return unmap_; }
  bool volatile_cache() const override { return cache_; }
  core::Task<Result<bool>> rescan() override;
  // retire(), and who waits for a path fails at once.
  void give_up();

  // Beyond Device. kAborted (EILSEQ): the content differs.
  core::Task<Result<void>> compare(std::uint64_t offset, ByteView with);
  // Writes `data` if the blocks hold `expected`, which has as many bytes, and nothing comes
  // between. Not repeated once it may have been done. kAborted (EILSEQ): they hold something else;
  // kUnimplemented: the target does not fuse commands, or not so many bytes.
  core::Task<Result<void>> compare_and_write(std::uint64_t offset, ByteView expected,
                                             ByteView data);
  // `opcode`: kReservationRegister, kReservationAcquire or kReservationRelease. A conflict is
  // kFailedPrecondition (EBUSY).
  core::Task<Result<void>> reserve(std::uint8_t opcode, ReservationCommand reservation);
  core::Task<Result<Reservations>> reservations();

  std::uint32_t nsid() const { return nsid_; }
  const std::vector<std::shared_ptr<HostController>>& paths() const { return paths_; }
  // Another way to the same namespace; kInvalidArgument when it is another one.
  Result<void> add_path(std::shared_ptr<HostController> controller);
  void remove_path(const HostController& controller);
  // The path that I/O takes while it is as good as any other; null: any.
  void prefer(const HostController* controller) { preferred_ = last_ = controller; }
  void set_policy(PathPolicy policy) { policy_ = policy; }
  const PathPolicy& policy() const { return policy_; }
  const HostController* current() const;              // null: none works
  bool usable(const HostController& path) const;      // shows this namespace
  bool accessible(const HostController& path) const;  // and lets I/O through
  // Called after the size has changed.
  void on_resize(std::function<void(RemoteDevice&)> observer) { resized_ = std::move(observer); }

 private:
  struct Split;
  RemoteDevice(std::string name, std::uint32_t nsid, Uuid uuid);
  void path_changed() override;
  void namespaces_changed() override;

  HostController* pick() const;
  HostController* next_path();
  core::Task<Result<void>> wait_for_path(core::Nanos since);
  std::unexpected<Error> no_path() const;
  std::uint64_t reconnects() const;  // of all paths
  // `second`: the other half of a fused pair, with its command and data; lives until this returns.
  core::Task<Result<Completion>> run(Command command, ByteView out, MutableBytes in, bool repeat,
                                     HostCall* second = nullptr);
  core::Task<Result<void>> transfer(std::uint8_t opcode, std::uint64_t offset, ByteView out,
                                    MutableBytes in);
  core::Task<void> split_worker(Split* split);
  core::Task<Result<void>> ranged(std::uint8_t opcode, std::uint64_t offset, std::uint64_t length);
  core::Task<Result<void>> write_zero_pieces(std::uint64_t offset, std::uint64_t length);
  std::unexpected<Error> failed(const Command& command, const Status& status) const;
  std::string what(const Command& command) const;
  void adopt_limits();

  std::string name_;
  std::uint32_t nsid_;
  Uuid uuid_;
  bool own_uuid_ = false;  // the namespace has one, which must stay
  std::uint32_t block_size_ = 0, block_shift_ = 0;
  std::uint64_t num_blocks_ = 0;
  bool unmap_ = false, zeroes_ = false, zeroes_deallocate_ = false, cache_ = true;
  std::uint32_t transfer_bytes_ = 0;                    // of one command
  std::uint64_t zeroes_blocks_ = 0, unmap_blocks_ = 0;  // likewise
  std::vector<std::shared_ptr<HostController>> paths_;
  const HostController* preferred_ = nullptr;
  const HostController* last_ = nullptr;  // that a command took; compared, never followed
  PathPolicy policy_;
  std::size_t turn_ = 0;         // of kInTurn, among the best paths
  std::uint32_t turn_left_ = 0;  // commands
  std::function<void(RemoteDevice&)> resized_;
  core::Event changed_;
};

}  // namespace capstan::storage::nvme
