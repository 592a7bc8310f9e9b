// Why this file exists: see commands.h.
#include "apps/capstan_pool/commands.h"

#include <charconv>

#include "base/json_quote.h"
#include "storage/device/file_device.h"
#include "storage/pool/load.h"
#include "storage/pool/pool.h"
#include "storage/pool/repair.h"

namespace capstan::apps {
namespace {

using storage::FileDevice;
using storage::FileDeviceOptions;
using storage::Pool;
using storage::lvs::Finding;
using storage::lvs::StoreImage;

// One level of an object or a list, with commas where they belong.
class JsonLines {
 public:
  explicit JsonLines(std::string indent) : indent_(std::move(indent)) {}
  void field(std::string_view name, const std::string& value) {
    item(json_quote(name) + ": " + value);
  }
  void item(const std::string& text) { text_ += (text_.empty() ? "\n" : ",\n") + indent_ + text; }
  std::string text(const char* brackets) const {
    const std::string outer = indent_.substr(0, indent_.size() - 2);
    if (text_.empty()) return brackets;
    return brackets[0] + text_ + "\n" + outer + brackets[1];
  }

 private:
  std::string indent_, text_;
};

const char* kind_name(Finding::Kind kind) {
  switch (kind) {
    case Finding::Kind::kDamage: return "damage";
    case Finding::Kind::kRepair: return "repair";
    case Finding::Kind::kLeak: return "leak";
  }
  return "";
}

PoolAnswer failed(const Error& error) {
  return {"", "error: " + error.text() + "\n", kPoolFailed};
}

core::Task<Result<std::shared_ptr<FileDevice>>> open(core::Env& env, PoolInvocation call) {
  FileDeviceOptions options;
  options.path = call.path;
  options.block_size = call.block_bytes;
  options.read_only = !call.write;
  co_return co_await FileDevice::open(env, std::move(options));
}

std::string summary(const StoreImage& image) {
  return "pool '" + image.name + "' (" + image.uuid.text() + "), " +
         (image.dirty ? "not unloaded" : "unloaded cleanly") + ", " +
         std::to_string(image.blobs.size() - 1) + " volumes";
}

PoolAnswer report(const PoolInvocation& call, const StoreImage& image) {
  const std::vector<Finding> found = find_problems(image);
  PoolAnswer answer;
  answer.code = found.empty() ? kPoolSound : kPoolFindings;
  if (call.json) {
    JsonLines list("    "), object("  ");
    for (const Finding& finding : found)
      list.item(std::string("{\"kind\": \"") + kind_name(finding.kind) +
                "\", \"text\": " + json_quote(finding.text) + "}");
    object.field("pool", json_quote(image.name));
    object.field("uuid", json_quote(image.uuid.text()));
    object.field("clean", image.dirty ? "false" : "true");
    object.field("findings", list.text("[]"));
    answer.out = object.text("{}") + "\n";
    return answer;
  }
  answer.out = summary(image) + "\n";
  for (const Finding& finding : found)
    answer.out += std::string(kind_name(finding.kind)) + ": " + finding.text + "\n";
  if (found.empty()) answer.out += "sound\n";
  return answer;
}

core::Task<PoolAnswer> check(core::Env& env, PoolInvocation call) {
  call.write = false;
  auto device = co_await open(env, call);
  if (!device) co_return failed(device.error());
  const auto image = co_await storage::lvs::load_image(**device);
  if (!image) co_return failed(Error(image.error()).within(call.path));
  co_return report(call, *image);
}

core::Task<Result<void>> repair_pool(core::Env* env, std::shared_ptr<FileDevice> device,
                                     bool destroy_damaged, std::string* said) {
  CO_TRY_SET(const auto pool, co_await Pool::load(*env, device));
  if (destroy_damaged) {
    for (const auto& volume : pool->faulted()) {
      CO_TRY(co_await pool->destroy_replica(volume.uuid));
      *said += "destroyed damaged volume '" + volume.name + "' (" + volume.reason + ")\n";
    }
  }
  CO_TRY(co_await storage::write_repairs(*pool));
  co_return co_await pool->unload();
}

core::Task<PoolAnswer> repair(core::Env& env, PoolInvocation call) {
  PoolAnswer before = co_await check(env, call);
  if (before.code == kPoolSound || before.code == kPoolFailed) co_return before;
  if (!call.write) {
    before.err =
        "nothing was written: give --write to repair, and --destroy-damaged to destroy "
        "volumes that cannot be read\n";
    co_return before;
  }
  std::string said;
  {
    auto device = co_await open(env, call);
    if (!device) co_return failed(device.error());
    auto repaired = co_await repair_pool(&env, *device, call.destroy_damaged, &said);
    if (!repaired) co_return failed(repaired.error());
  }
  PoolAnswer after = co_await check(env, call);
  if (!call.json) after.out = before.out + said + "repaired; now:\n" + after.out;
  co_return after;
}

std::string volume_json(const StoreImage& image, const storage::lvs::BlobEntry& entry) {
  const storage::lvs::Blob& blob = entry.blob;
  JsonLines object("      "), attributes("        ");
  for (const auto& xattr : blob.xattrs) {
    const std::size_t end = xattr.value.find_last_not_of('\0');
    attributes.field(xattr.name, json_quote(xattr.value.substr(0, end + 1)));
  }
  object.field("name", json_quote(blob.name()));
  object.field("uuid", json_quote(blob.uuid().text()));
  object.field("blob_id", std::to_string(blob.id));
  object.field("size_bytes", std::to_string(blob.num_clusters * image.geometry.cluster_size));
  object.field("allocated_bytes", std::to_string(blob.allocated() * image.geometry.cluster_size));
  object.field("thin", blob.thin() ? "true" : "false");
  object.field("read_only", blob.read_only() ? "true" : "false");
  if (const auto parent = blob.parent()) object.field("parent", std::to_string(*parent));
  if (!entry.fault.empty()) object.field("damage", json_quote(entry.fault));
  object.field("attributes", attributes.text("{}"));
  return object.text("{}");
}

core::Task<PoolAnswer> dump(core::Env& env, PoolInvocation call) {
  call.write = false;
  auto device = co_await open(env, call);
  if (!device) co_return failed(device.error());
  const auto image = co_await storage::lvs::load_image(**device);
  if (!image) co_return failed(Error(image.error()).within(call.path));
  const auto& geometry = image->geometry;
  JsonLines object("  "), volumes("    ");
  object.field("pool", json_quote(image->name));
  object.field("uuid", json_quote(image->uuid.text()));
  object.field("clean", image->dirty ? "false" : "true");
  object.field("device_bytes", std::to_string((*device)->size_bytes()));
  object.field("size_bytes", std::to_string(image->super.size));
  object.field("growable_bytes", std::to_string(storage::lvs::growable_clusters(image->super) *
                                                geometry.cluster_size));
  object.field("cluster_bytes", std::to_string(geometry.cluster_size));
  object.field("block_bytes", std::to_string(image->super.block_size()));
  object.field("data_clusters", std::to_string(geometry.data_clusters()));
  object.field("metadata_pages", std::to_string(geometry.md_len));
  for (const auto& [id, entry] : image->blobs) {
    if (id != image->super.super_blob) volumes.item(volume_json(*image, entry));
  }
  object.field("volumes", volumes.text("[]"));
  co_return PoolAnswer{object.text("{}") + "\n", "", kPoolSound};
}

}  // namespace

std::string pool_help() {
  return "usage: capstan-pool check|repair|dump [options] <file or disk>\n"
         "\n"
         "A pool that no node has open. Nothing is written unless repair is given --write.\n"
         "\n"
         "  check    what is wrong with it; ends with 0 when sound, 3 with findings, 1 on errors\n"
         "  repair   what check finds, put right as far as it can be\n"
         "  dump     everything about the pool and its volumes, as JSON\n"
         "\n"
         "  --write             let repair write\n"
         "  --destroy-damaged   with --write: destroy volumes that cannot be read, and what "
         "stands\n"
         "                      on them\n"
         "  --block-size N      of the pool, when the disk has another (4096 on a file)\n"
         "  --json              findings as JSON\n";
}

Result<PoolInvocation> parse_pool_arguments(const std::vector<std::string>& arguments) {
  PoolInvocation call;
  std::vector<std::string> words;
  for (std::size_t at = 0; at < arguments.size(); ++at) {
    const std::string& word = arguments[at];
    if (word == "--") {
      words.insert(words.end(), arguments.begin() + static_cast<std::ptrdiff_t>(at) + 1,
                   arguments.end());
      break;
    }
    if (word == "--write") {
      call.write = true;
    } else if (word == "--destroy-damaged") {
      call.destroy_damaged = true;
    } else if (word == "--json") {
      call.json = true;
    } else if (word == "--block-size" && at + 1 < arguments.size()) {
      const std::string& text = arguments[++at];
      const char* end = text.data() + text.size();
      const auto [stopped, error] = std::from_chars(text.data(), end, call.block_bytes);
      if (error != std::errc() || stopped != end)
        return fail(Code::kInvalidArgument, "'" + text + "' is no block size");
    } else if (word.starts_with("-")) {
      return fail(Code::kInvalidArgument, "unknown option '" + word + "'");
    } else {
      words.push_back(word);
    }
  }
  if (words.size() != 2) return fail(Code::kInvalidArgument, "a command and a file are needed");
  call.command = words[0];
  call.path = words[1];
  if (call.command != "check" && call.command != "repair" && call.command != "dump")
    return fail(Code::kInvalidArgument, "unknown command '" + call.command + "'");
  if (call.write && call.command != "repair")
    return fail(Code::kInvalidArgument, "only repair writes");
  if (call.destroy_damaged && !call.write)
    return fail(Code::kInvalidArgument, "--destroy-damaged needs repair --write");
  return call;
}

core::Task<PoolAnswer> pool_command(core::Env& env, PoolInvocation call) {
  if (call.command == "check") return check(env, std::move(call));
  if (call.command == "repair") return repair(env, std::move(call));
  return dump(env, std::move(call));
}

}  // namespace capstan::apps
