// Why this file exists: see commands.h; this half does what the words say.
#include "apps/capstan_nvme/commands.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>

#include "apps/capstan_nvme/bench.h"
#include "base/json_quote.h"
#include "base/size_text.h"
#include "base/visible.h"
#include "core/buffer.h"
#include "core/log_sinks.h"
#include "core/os_stdio.h"
#include "core/reachable.h"
#include "storage/device/registry.h"
#include "storage/device/url.h"
#include "storage/nvme/identify.h"
#include "storage/nvme/initiator.h"
#include "storage/nvme/initiator_device.h"
#include "storage/nvme/initiator_uri.h"

namespace capstan::apps {
namespace {

namespace nvme = storage::nvme;

constexpr std::size_t kPieceBytes = 1U << 20;
constexpr std::uint16_t kDefaultPort = 8420;
constexpr std::uint8_t kCreateSnapshot = 0xC1;

using core::NoLog;

// Facts in order, as lines of text or as one JSON object.
class Facts {
 public:
  void text(std::string_view name, std::string_view value) {
    add(name, visible(value), json_quote(value));  // a target may say what a terminal obeys
  }
  void number(std::string_view name, std::uint64_t value) {
    add(name, std::to_string(value), std::to_string(value));
  }
  void decimal(std::string_view name, double value) {
    std::array<char, 32> digits;
    std::snprintf(digits.data(), digits.size(), "%.1f", value);
    add(name, digits.data(), digits.data());
  }
  void flag(std::string_view name, bool value) {
    const char* word = value ? "true" : "false";
    add(name, word, word);
  }
  std::string lines() const { return lines_; }
  std::string object(const std::string& indent) const {
    return "{" + members(indent + "  ") + "\n" + indent + "}";
  }

 private:
  struct Member {
    std::string name, value;
  };
  void add(std::string_view name, const std::string& plain, const std::string& json) {
    std::string label = std::string(name) + ":";
    label.resize(std::max<std::size_t>(label.size() + 1, 22), ' ');
    lines_ += label + plain + "\n";
    members_.push_back({std::string(name), json});
  }
  std::string members(const std::string& indent) const {
    std::string out;
    for (const Member& member : members_) {
      out += (out.empty() ? "\n" : ",\n") + indent + json_quote(member.name) + ": " + member.value;
    }
    return out;
  }
  std::string lines_;
  std::vector<Member> members_;
};

// What all commands work with: an initiator, and a registry for devices of any scheme.
class Host final : public storage::DeviceMaker {
 public:
  Host(core::Env& env, NameLookup lookup, const NvmeInvocation& call)
      : env_(env),
        lookup_(std::move(lookup)),
        log_(
            sink_, core::LogLevel::kError, [](const void*) -> std::uint64_t { return 0; }, nullptr),
        initiator_(env, log_),
        devices_(env) {
    const Uuid id = env.random_uuid();
    options_.host =
        call.host_nqn.empty() ? "nqn.2019-05.io.openebs:uuid:" + id.text() : call.host_nqn;
    options_.host_id =
        nvme::host_id_of(call.host_nqn.empty() ? id : Uuid::from_name(options_.host));
    options_.ctrl_loss = 0;  // whoever waits at a terminal wants to know
    options_.fast_io_fail = 0;
    devices_.serve_remote(this);
  }
  core::Task<Result<std::shared_ptr<storage::Device>>> make(storage::DeviceUri uri,
                                                            core::CancelToken token) override {
    nvme::HostOptions options = nvme::with_uri(options_, *uri.remote);
    CO_TRY(co_await find(options, token));
    CO_TRY_SET(auto controller, co_await initiator_.connect(options, std::move(token)));
    CO_TRY_SET(auto device,
               nvme::RemoteDevice::make(std::move(controller), uri.remote->nsid, uri.name, Uuid()));
    co_return std::shared_ptr<storage::Device>(std::move(device));
  }
  // The address's name becomes one of its numbers.
  core::Task<Result<void>> find(nvme::HostOptions& options, core::CancelToken token) {
    CO_TRY_SET(const auto hosts, lookup_(options.address.host));
    std::vector<core::Address> addresses;
    for (const auto& one : hosts)
      addresses.push_back(core::Address::tcp(one, options.address.port));
    options.address = co_await core::reachable(env_, std::move(addresses), options.connect_timeout,
                                               std::move(token));
    co_return Result<void>();
  }
  core::Task<Result<std::shared_ptr<storage::Device>>> open(std::string uri) {
    co_return co_await devices_.create(std::move(uri));
  }
  // nvmf only.
  core::Task<Result<std::shared_ptr<nvme::RemoteDevice>>> open_remote(std::string uri) {
    CO_TRY_SET(auto device, co_await open(uri));
    auto remote = std::dynamic_pointer_cast<nvme::RemoteDevice>(device);
    if (!remote) {
      co_return fail(Code::kInvalidArgument, "'" + uri + "' is no nvmf:// URI", EINVAL);
    }
    co_return remote;
  }
  core::Task<void> close() {
    for (const auto* entry : devices_.list()) retired_.push_back(entry->device->name());
    for (const std::string& name : retired_) devices_.remove(name);
    co_await initiator_.shutdown();
  }
  nvme::Initiator& initiator() { return initiator_; }
  const nvme::HostOptions& options() const { return options_; }
  core::Env& env() { return env_; }

 private:
  core::Env& env_;
  NameLookup lookup_;
  NoLog sink_;
  core::Log log_;
  nvme::HostOptions options_;
  nvme::Initiator initiator_;
  storage::DeviceRegistry devices_;
  std::vector<std::string> retired_;
};

// --- discover, connect-test, id ------------------------------------------------------------------

core::Task<Result<std::string>> discover(Host& host, const NvmeInvocation& call) {
  auto url = storage::parse_url("nvmf://" + call.target);
  if (!url || url->host.empty() || url->path.size() > 1) {
    co_return fail(Code::kInvalidArgument,
                   "'" + call.target + "' is no ADDRESS[:PORT], as in 10.0.0.1:8420", EINVAL);
  }
  nvme::HostOptions options = host.options();
  options.address = core::Address::tcp(url->host, url->port.value_or(kDefaultPort));
  CO_TRY(co_await host.find(options, {}));
  CO_TRY_SET(const auto records, co_await nvme::discover(host.initiator(), options));
  std::string lines, list;
  for (const auto& record : records) {
    const std::string where = core::Address::tcp(record.host, record.service).text();
    lines += (record.discovery ? "discovery  " : "subsystem  ") + visible(where) + "  " +
             visible(record.subsystem) + "\n";
    Facts facts;
    facts.text("kind", record.discovery ? "discovery" : "subsystem");
    facts.text("address", record.host);
    facts.number("port", record.service);
    facts.text("subsystem", record.subsystem);
    if (!record.discovery) facts.text("uri", "nvmf://" + where + "/" + record.subsystem);
    list += (list.empty() ? "\n    " : ",\n    ") + facts.object("    ");
  }
  if (call.json) co_return "{\n  \"records\": [" + list + (list.empty() ? "]" : "\n  ]") + "\n}\n";
  co_return lines;
}

std::string show(const Facts& facts, bool json) {
  return json ? facts.object("") + "\n" : facts.lines();
}

core::Task<Result<std::string>> connect_test(Host& host, const NvmeInvocation& call) {
  core::Reactor& reactor = *core::Reactor::current();
  const core::Nanos start = reactor.read_clock();
  CO_TRY_SET(const auto device, co_await host.open_remote(call.target));
  const core::Nanos connected = reactor.read_clock();
  core::Buffer block(device->block_size());
  CO_TRY(co_await device->read(0, block.bytes()));
  const core::Nanos read = reactor.read_clock();
  Facts facts;
  facts.text("device", device->name());
  facts.text("uuid", device->uuid().text());
  facts.number("size_bytes", device->size_bytes());
  facts.number("block_bytes", device->block_size());
  facts.number("connect_us", (connected - start) / 1000);
  facts.number("first_read_us", (read - connected) / 1000);
  co_return show(facts, call.json);
}

core::Task<Result<std::string>> identify(Host& host, const NvmeInvocation& call) {
  CO_TRY_SET(const auto device, co_await host.open_remote(call.target));
  const nvme::HostController& controller = *device->paths().front();
  const nvme::ControllerData& data = controller.data();
  Facts facts;
  facts.text("subsystem", data.subsystem);
  facts.text("serial", data.serial);
  facts.text("model", data.model);
  facts.text("firmware", data.firmware);
  facts.number("controller", data.id);
  facts.text("version",
             std::to_string(data.version >> 16) + "." + std::to_string(data.version >> 8 & 0xFF));
  facts.number("transfer_bytes", controller.transfer_bytes());
  facts.number("capsule_data_bytes",
               data.capsule_units < 4 ? 0 : std::uint64_t{data.capsule_units} * 16 - 64);
  facts.number("namespaces_max", data.namespaces);
  facts.flag("ana", data.ana());
  facts.flag("compare", data.compare());
  facts.flag("write_zeroes", data.write_zeroes());
  facts.flag("deallocate", data.unmap());
  facts.flag("reservations", data.reservations());
  facts.flag("volatile_cache", data.volatile_cache());
  for (const auto& [id, space] : controller.namespaces()) {
    const std::string prefix = "namespace_" + std::to_string(id) + "_";
    facts.text(prefix + "uuid", space.uuid.text());
    facts.number(prefix + "blocks", space.data.blocks);
    facts.number(prefix + "block_bytes", space.data.block_bytes);
    if (data.ana()) facts.text(prefix + "access", nvme::ana_state_name(controller.access(id)));
  }
  co_return show(facts, call.json);
}

// --- content -------------------------------------------------------------------------------------

// Looked at before the first byte moves: half a content would be neither the old nor the new.
Result<void> check_range(const storage::Device& device, std::uint64_t offset, std::uint64_t bytes,
                         const std::string& who) {
  const std::uint64_t size = device.size_bytes();
  if (offset > size) {
    return fail(Code::kOutOfRange,
                "--offset is behind the end of the device at " + std::to_string(size), EINVAL);
  }
  if (bytes <= size - offset) return {};
  return fail(Code::kOutOfRange,
              who + " " + std::to_string(bytes) + " bytes, but from --offset " +
                  std::to_string(offset) + " the device has " + std::to_string(size - offset) +
                  ": choose a smaller offset or fewer bytes",
              EINVAL);
}

core::Task<Result<std::string>> read(Host& host, const NvmeInvocation& call) {
  CO_TRY_SET(const auto device, co_await host.open(call.target));
  CO_TRY(check_range(*device, call.offset, call.length.value_or(0), "--length asks for"));
  std::uint64_t left = call.length.value_or(device->size_bytes() - call.offset);
  std::unique_ptr<core::File> file;
  if (call.file != "-") {
    CO_TRY_SET(file, co_await host.env().files().open(
                         call.file, {.write = true, .create = true, .truncate = true}));
  }
  core::Buffer piece(kPieceBytes);
  for (std::uint64_t at = call.offset, to = 0; left != 0;) {
    const auto step = static_cast<std::size_t>(std::min<std::uint64_t>(left, kPieceBytes));
    CO_TRY(co_await device->read(at, piece.bytes().first(step)));
    if (file) {
      CO_TRY(co_await file->write(to, piece.view().first(step)));
    } else {
      CO_TRY(co_await core::write_standard_output(piece.view().first(step)));
    }
    at += step;
    to += step;
    left -= step;
  }
  co_return "";
}

core::Task<Result<std::string>> write(Host& host, const NvmeInvocation& call) {
  CO_TRY_SET(const auto device, co_await host.open(call.target));
  std::unique_ptr<core::File> file;
  if (call.file != "-") {
    CO_TRY_SET(file, co_await host.env().files().open(call.file, {}));
  }
  CO_TRY(check_range(*device, call.offset, file ? file->info().size_bytes : 0,
                     "'" + call.file + "' has"));
  core::Buffer piece(kPieceBytes);
  const std::uint64_t block = device->block_size();
  std::uint64_t total = 0;
  while (true) {
    Result<std::size_t> got = file ? co_await file->read(total, piece.bytes())
                                   : co_await core::read_standard_input(piece.bytes());
    if (!got) co_return std::unexpected(std::move(got).error());
    if (*got == 0) break;
    const std::size_t whole = (*got + block - 1) / block * block;
    std::fill(piece.data() + *got, piece.data() + whole, std::uint8_t{0});
    CO_TRY(co_await device->write(call.offset + total, piece.view().first(whole)));
    total += *got;
    if (*got != kPieceBytes) break;
  }
  CO_TRY(co_await device->flush());
  Facts facts;
  facts.number("bytes", total);
  co_return call.quiet ? "" : show(facts, call.json);
}

core::Task<Result<std::string>> bench(Host& host, const NvmeInvocation& call) {
  CO_TRY_SET(const auto device, co_await host.open(call.target));
  CO_TRY_SET(const DeviceBenchResult result,
             co_await run_device_bench(
                 host.env(), *device,
                 {call.pattern, call.block_bytes, call.depth, call.seconds * core::kSecond}));
  const auto microseconds = [](core::Nanos value) { return static_cast<double>(value) / 1000; };
  Facts facts;
  facts.text("pattern", call.pattern);
  facts.number("block_bytes", call.block_bytes);
  facts.number("depth", call.depth);
  facts.number("requests", result.requests);
  facts.decimal("per_second", result.per_second());
  facts.decimal("mib_per_second",
                result.per_second() * static_cast<double>(call.block_bytes) / (1 << 20));
  facts.decimal("mean_us", microseconds(result.mean));
  facts.decimal("p50_us", microseconds(result.p50));
  facts.decimal("p99_us", microseconds(result.p99));
  facts.decimal("worst_us", microseconds(result.worst));
  co_return show(facts, call.json);
}

// --- Mayastor's program --------------------------------------------------------------------------

core::Task<Result<void>> one_block(Host& host, const NvmeInvocation& call) {
  CO_TRY_SET(const auto device, co_await host.open(call.target));
  core::Buffer block = core::Buffer::zeroed(device->block_size());
  if (call.command == "read") {  // a file that is there stays until there is something to put in
    CO_TRY(co_await device->read(call.offset, block.bytes()));
    CO_TRY_SET(const auto file, co_await host.env().files().open(
                                    call.file, {.write = true, .create = true, .truncate = true}));
    co_return co_await file->write(0, block.view());
  }
  CO_TRY_SET(const auto file, co_await host.env().files().open(call.file, {}));
  CO_TRY(co_await file->read(0, block.bytes()));
  CO_TRY(co_await device->write(call.offset, block.view()));
  co_return co_await device->flush();
}

// The data of Mayastor's command 0xC1: the fields of a snapshot, each a text (nvme-tcp section 18).
std::vector<std::uint8_t> snapshot_data(core::Env& env, const std::string& device) {
  std::vector<std::uint8_t> out(4);  // the first and only form
  const auto add = [&](const std::string& text) {
    out.push_back(1);
    std::array<std::uint8_t, 8> size;
    store_le<std::uint64_t>(size.data(), text.size());
    out.insert(out.end(), size.begin(), size.end());
    out.insert(out.end(), text.begin(), text.end());
  };
  add(device);
  add(device);
  add(env.random_uuid().text());
  const std::string uuid = env.random_uuid().text();
  add("snapshot-" + uuid);
  add(uuid);
  add(std::to_string(env.wall_clock_ns() / core::kSecond));
  out.push_back(0);
  return out;
}

core::Task<Result<void>> admin(Host& host, const NvmeInvocation& call) {
  CO_TRY_SET(const auto device, co_await host.open_remote(call.target));
  nvme::HostController& controller = *device->paths().front();
  nvme::Command command;
  std::vector<std::uint8_t> data;
  command.set(0, call.opcode);
  if (call.command == "create-snapshot") {
    command.set(0, kCreateSnapshot);
    command.set<std::uint64_t>(40, host.env().wall_clock_ns() / core::kSecond);
    data = snapshot_data(host.env(), device->name());
  }
  CO_TRY(co_await controller.admin(command, data, {}));
  co_return {};
}

core::Task<Result<void>> initiator(Host& host, const NvmeInvocation& call) {
  if (call.command == "read" || call.command == "write") co_return co_await one_block(host, call);
  if (call.command == "nvme-admin" || call.command == "create-snapshot") {
    co_return co_await admin(host, call);
  }
  CO_TRY_SET(const auto device, co_await host.open_remote(call.target));
  if (call.command == "connect") co_return {};
  CO_TRY_SET(const auto page, co_await device->paths().front()->identify(1, 0));
  CO_TRY_SET(const auto file, co_await host.env().files().open(
                                  call.file, {.write = true, .create = true, .truncate = true}));
  co_return co_await file->write(0, page);
}

core::Task<Result<std::string>> run(Host& host, const NvmeInvocation& call) {
  if (call.initiator) {
    CO_TRY(co_await initiator(host, call));
    co_return "";
  }
  if (call.command == "discover") co_return co_await discover(host, call);
  if (call.command == "connect-test") co_return co_await connect_test(host, call);
  if (call.command == "id") co_return co_await identify(host, call);
  if (call.command == "read") co_return co_await read(host, call);
  if (call.command == "write") co_return co_await write(host, call);
  co_return co_await bench(host, call);
}

}  // namespace

core::Task<NvmeAnswer> nvme_command(core::Env& env, NameLookup lookup, NvmeInvocation call) {
  Host host(env, std::move(lookup), call);
  const auto done = co_await run(host, call);
  co_await host.close();
  if (done) co_return NvmeAnswer{visible_lines(*done), "", kNvmeDone};
  co_return NvmeAnswer{"", "error: " + visible_lines(done.error().text()) + "\n",
                       call.initiator ? kInitiatorFailed : kNvmeFailed};
}

}  // namespace capstan::apps
