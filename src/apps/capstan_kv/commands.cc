// Why this file exists: see commands.h.
#include "apps/capstan_kv/commands.h"

#include <cstdio>
#include <span>

#include "apps/capstan_kv/job.h"

namespace capstan::apps {

namespace {

using storage::kv::Store;
using storage::kv::StoreOptions;
using storage::kv::Value;

struct Command {
  std::string_view name, parameters, help;
  std::size_t least, most;                                  // words
  enum : std::uint8_t { kLooks, kChanges, kCreates } does;  // to the store's file
  KvDone (*run)(KvJob job);
};

Result<Value> must_find(const Store& store, const std::string& key) {
  auto value = store.find(as_bytes(key));
  if (!value) return fail(Code::kNotFound, "Key '" + key + "' not found");
  return *std::move(value);
}

std::string hex(std::uint64_t number, unsigned digits) {
  char text[24];
  std::snprintf(text, sizeof text, "%0*llx", static_cast<int>(digits),
                static_cast<unsigned long long>(number));
  return text;
}

// "512 bytes", "1.50 KB".
std::string size_text(std::uint64_t bytes) {
  if (bytes < 1024) return std::to_string(bytes) + " bytes";
  auto size = static_cast<double>(bytes) / 1024;
  const char* unit = "KB";
  for (const char* next : {"MB", "GB"}) {
    if (size < 1024) break;
    size /= 1024;
    unit = next;
  }
  char text[64];
  std::snprintf(text, sizeof text, "%.2f %s", size, unit);
  return text;
}

KvDone write(KvJob job) {
  CO_TRY_SET(const std::uint64_t tail, co_await kv_write_value(job));
  kv_report(job, "Stored '" + job.word(0) + "'", tail);
  co_return Result<void>();
}

KvDone read(KvJob job) {
  CO_TRY_SET(const Value value, must_find(job.store, job.word(0)));
  CO_TRY(value.fetch());
  if (!value.checksum_right()) {
    std::fprintf(stderr, "warning: checksum mismatch, the value is damaged\n");
  }
  co_return co_await kv_read_value(job, value);
}

KvDone exists(KvJob job) {
  const bool there = job.store.exists(as_bytes(job.word(0)));
  if (job.call.json) {
    kv_print(kv_json({{"exists", there ? "true" : "false"}}));
  } else {
    kv_print(there ? "yes" : "no");
  }
  co_return Result<void>();
}

KvDone erase(KvJob job) {
  CO_TRY_SET(const std::uint64_t tail, co_await job.store.erase(as_bytes(job.word(0))));
  if (job.call.json) {
    kv_report(job, {}, tail);
  } else if (!job.call.quiet) {
    std::fprintf(stderr, "Deleted key '%s'\n", job.word(0).c_str());
  }
  co_return Result<void>();
}

KvDone rename(KvJob job) {
  auto done = co_await job.store.rename(as_bytes(job.word(0)), as_bytes(job.word(1)));
  if (!done) {
    co_return std::unexpected(
        std::move(done).error().within("Could not rename entry. Received error"));
  }
  kv_report(job, "Renamed key '" + job.word(0) + "' to " + job.word(1), *done);
  co_return Result<void>();
}

KvDone copy_or_move(KvJob job, bool move) {
  const std::string& path = job.word(1);
  if (path == job.store.path()) {
    co_return fail(Code::kInvalidArgument,
                   "Could not copy entry. Received error: Cannot copy entry to the same storage "
                   "(\"" +
                       path + "\"). Use `rename` instead.");
  }
  StoreOptions options;
  options.refuse_foreign = true;
  options.durability = storage::kv::Durability::kInterval;  // closing syncs
  CO_TRY_SET(auto target, co_await Store::open(job.env, path, options));
  const ByteView key = as_bytes(job.word(0));
  auto done =
      move ? co_await job.store.transfer(key, *target) : co_await job.store.copy(key, *target);
  auto closed = co_await target->close();
  if (!done) {
    co_return std::unexpected(
        std::move(done).error().within("Could not copy entry. Received error"));
  }
  CO_TRY(closed);
  kv_report(
      job,
      std::string(move ? "Moved" : "Copied") + " key '" + job.word(0) + "' to \"" + path + "\"",
      *done);
  co_return Result<void>();
}

KvDone copy(KvJob job) {
  return copy_or_move(std::move(job), false);
}
KvDone move(KvJob job) {
  return copy_or_move(std::move(job), true);
}

KvDone compact(KvJob job) {
  const bool talk = !job.call.json && !job.call.quiet;
  if (talk) kv_print("Starting compaction...");
  Result<Store::Compacted> done;
  {
    KvProgress progress(job);
    done = co_await job.store.compact([&progress](std::uint64_t now, std::uint64_t total) {
      if (total != 0) progress.update(now, total);
    });
  }
  if (!done) co_return std::unexpected(std::move(done).error().within("Compaction failed"));
  if (talk) kv_print("Compaction completed successfully.");
  if (job.call.json) {
    kv_print(kv_json({{"finished", "true"},
                      {"bytes_before", std::to_string(done->bytes_before)},
                      {"bytes_after", std::to_string(done->bytes_after)},
                      {"values", std::to_string(done->values)}}));
  }
  co_return Result<void>();
}

KvDone keys(KvJob job) {
  auto cursor = job.store.iterate();
  while (const auto value = cursor.next()) {
    if (job.call.json) {
      kv_print("{\"key_hash\":" + std::to_string(value->key_hash()) +
               ",\"size_bytes\":" + std::to_string(value->size()) +
               ",\"begin_offset\":" + std::to_string(value->begin_offset()) + "}");
    } else {
      kv_print(hex(value->key_hash(), 16) + "  " + std::to_string(value->size()));
    }
  }
  co_return cursor.intact();
}

std::string label(std::string_view name) {
  std::string out(name);
  out.resize(25, ' ');
  return out + " ";
}

constexpr std::string_view kLine = "--------------------------------------------------";
constexpr std::string_view kEnd = "==================================================";

KvDone info(KvJob job) {
  const auto stats = job.store.stats();
  if (job.call.json) {
    kv_print(kv_json({{"path", kv_json_text(job.store.path())},
                      {"keys", std::to_string(stats.keys)},
                      {"file_size_bytes", std::to_string(stats.file_bytes)},
                      {"live_bytes", std::to_string(stats.live_bytes)},
                      {"compaction_savings", std::to_string(stats.compaction_savings())},
                      {"torn_bytes", std::to_string(stats.torn_bytes)},
                      {"alignment", std::to_string(stats.alignment)},
                      {"read_only", stats.read_only ? "true" : "false"}}));
    co_return Result<void>();
  }
  kv_print("\n================== STORAGE INFO ==================");
  kv_print(label("STORAGE FILE:") + "\"" + job.store.path() + "\"");
  kv_print(std::string(kLine));
  kv_print(label("TOTAL SIZE:") + size_text(stats.file_bytes));
  kv_print(label("ACTIVE ENTRIES:") + std::to_string(stats.keys));
  kv_print(label("COMPACTION SAVINGS:") + size_text(stats.compaction_savings()));
  kv_print(std::string(kEnd));
  co_return Result<void>();
}

void print_metadata(const KvJob& job, const Value& value) {
  const auto stored = value.metadata();
  std::string checksum;
  for (unsigned shift = 0; shift < 32; shift += 8) {
    checksum += (shift == 0 ? "" : ", ") + std::to_string((stored.checksum >> shift) & 0xFFU);
  }
  kv_print("\n================ METADATA SUMMARY ================");
  kv_print(label("ENTRY FOR:") + "\"" + job.word(0) + "\"");
  kv_print(std::string(kLine));
  kv_print(label("PAYLOAD SIZE:") + size_text(value.size()));
  kv_print(label("TOTAL SIZE (W/ METADATA):") + size_text(value.file_size()));
  kv_print(label("OFFSET RANGE:") + std::to_string(value.begin_offset()) + ".." +
           std::to_string(value.end_offset()));
  kv_print(label("KEY HASH:") + std::to_string(stored.key_hash));
  kv_print(label("CHECKSUM:") + std::to_string(stored.checksum));
  kv_print(label("CHECKSUM VALIDITY:") + (value.checksum_right() ? "VALID" : "INVALID"));
  kv_print(std::string(kLine));
  kv_print(
      label("STORED METADATA:") + "EntryMetadata { key_hash: " + std::to_string(stored.key_hash) +
      ", prev_offset: " + std::to_string(stored.prev_offset) + ", checksum: [" + checksum + "] }");
  kv_print(std::string(kEnd));
}

KvDone metadata(KvJob job) {
  CO_TRY_SET(const Value value, must_find(job.store, job.word(0)));
  if (!job.call.json) {
    print_metadata(job, value);
    co_return Result<void>();
  }
  const auto stored = value.metadata();
  kv_print(kv_json({{"key_hash", std::to_string(stored.key_hash)},
                    {"prev_offset", std::to_string(stored.prev_offset)},
                    {"checksum", std::to_string(stored.checksum)},
                    {"checksum_right", value.checksum_right() ? "true" : "false"},
                    {"size_bytes", std::to_string(value.size())},
                    {"begin_offset", std::to_string(value.begin_offset())},
                    {"end_offset", std::to_string(value.end_offset())}}));
  co_return Result<void>();
}

constexpr Command kCommands[] = {
    {"write", "KEY [VALUE]", "store a value; without VALUE --input or standard input", 1, 2,
     Command::kCreates, write},
    {"read", "KEY", "write a value to standard output, or to --to", 1, 1, Command::kLooks, read},
    {"exists", "KEY", "say yes or no", 1, 1, Command::kLooks, exists},
    {"metadata", "KEY", "what the file says about a value", 1, 1, Command::kLooks, metadata},
    {"delete", "KEY", "delete a key", 1, 1, Command::kChanges, erase},
    {"rename", "KEY NEW", "move a value to another key", 2, 2, Command::kChanges, rename},
    {"copy", "KEY FILE", "copy a value to another store's file", 2, 2, Command::kChanges, copy},
    {"move", "KEY FILE", "move a value to another store's file", 2, 2, Command::kChanges, move},
    {"compact", "", "give the space of old values back", 0, 0, Command::kChanges, compact},
    {"info", "", "sizes and number of keys", 0, 0, Command::kLooks, info},
    {"keys", "", "hash and size of every key, newest first", 0, 0, Command::kLooks, keys},
};

const Command* find_command(const KvInvocation& call) {
  for (const Command& command : kCommands) {
    if (call.command != command.name) continue;
    const std::size_t words = call.words.size();
    return words >= command.least && words <= command.most ? &command : nullptr;
  }
  return nullptr;
}

void warn_of_torn(const storage::kv::StoreStats& stats, bool only_looked) {
  if (stats.torn_bytes == 0) return;
  const auto bytes = static_cast<unsigned long long>(stats.torn_bytes);
  if (only_looked || stats.read_only) {
    std::fprintf(stderr, "warning: the file ends with %llu bytes of an interrupted write\n", bytes);
    return;
  }
  std::fprintf(stderr, "warning: cut %llu bytes of an interrupted write off; they are in '%s'\n",
               bytes, stats.torn_copy.c_str());
}

}  // namespace

std::string kv_help() {
  std::string out =
      "capstan-kv FILE COMMAND ...: a key/value store's file that no node has open\n"
      "(as `capstan kv --file FILE COMMAND ...`; the stores of a running node: `capstan kv`)\n\n";
  const auto row = [&out](std::string_view left, std::string_view right) {
    std::string usage = "  " + std::string(left);
    usage.resize(std::max<std::size_t>(usage.size() + 1, 26), ' ');
    out += usage + std::string(right) + "\n";
  };
  for (const Command& command : kCommands) {
    row(std::string(command.name) + " " + std::string(command.parameters), command.help);
  }
  out += "\n";
  row("-i, --input FILE", "file with the value to write");
  row("-t, --to FILE", "file for the value that is read");
  row("-f, --force", "replace an existing file of --to");
  row("-b, --buffer-size SIZE", "as upstream has it; nothing is buffered here");
  row("--json", "answers as JSON");
  row("-q, --quiet", "no remarks");
  row("--", "no flags from here on");
  return out + "\nExit codes: 0 done, 1 failed, 2 wrong usage\n";
}

core::Task<int> kv_command(core::Env& env, std::vector<std::string> arguments) {
  auto call = parse_kv_arguments(arguments);
  const Command* found = call ? find_command(*call) : nullptr;
  if (!found) {
    const std::string why = call ? "cannot understand this command line" : call.error().text();
    std::fprintf(stderr, "error: %s\n\n%s", why.c_str(), kv_help().c_str());
    co_return kKvUsage;
  }
  StoreOptions options;
  options.create = found->does == Command::kCreates;
  options.read_only = found->does == Command::kLooks;
  options.refuse_foreign = true;
  options.durability = storage::kv::Durability::kInterval;  // closing syncs
  auto store = co_await Store::open(env, call->file, options);
  if (!store) {
    std::fprintf(stderr, "Error: Failed to open storage: %s\n", store.error().text().c_str());
    co_return kKvFailed;
  }
  warn_of_torn((*store)->stats(), options.read_only);
  auto done = co_await found->run(KvJob{env, **store, *std::move(call)});
  const auto closed = co_await (*store)->close();
  if (done && !closed) done = closed;
  if (const auto printed = kv_printed(); done && !printed) done = printed;
  if (done) co_return kKvDone;
  std::fprintf(stderr, "Error: %s\n", done.error().text().c_str());
  co_return kKvFailed;
}

}  // namespace capstan::apps
