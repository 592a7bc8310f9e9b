// Why this file exists: see job.h. Values come from an argument, a file or standard input and go
// to standard output or a file, which appears under its name when it is complete and durable.
#include <algorithm>
#include <filesystem>

#include "apps/capstan_kv/job.h"
#include "base/limits.h"
#include "base/path.h"
#include "core/os_stdio.h"
#include "storage/kv/value_stream.h"

namespace capstan::apps {

using storage::kv::Value;

core::Task<Result<std::uint64_t>> kv_write_value(KvJob& job) {
  const ByteView key = as_bytes(job.word(0));
  if (job.call.words.size() > 1) {
    if (!job.call.input.empty()) {
      co_return fail(Code::kInvalidArgument, "a value and --input are both given. Leave one out");
    }
    co_return co_await job.store.write(key, as_bytes(job.word(1)));
  }
  std::unique_ptr<core::File> file;
  std::uint64_t total = 0;
  if (!job.call.input.empty()) {
    CO_TRY_SET(file, co_await job.env.files().open(job.call.input, {}));
    total = file->info().size_bytes;
  }
  auto stream = job.store.stream(key);
  std::vector<std::uint8_t> piece(limits::kKvStreamPieceBytes);
  KvProgress progress(job);
  while (true) {
    std::size_t got = 0;
    if (file) {
      CO_TRY_SET(got, co_await file->read(stream.size(), piece));
    } else {
      CO_TRY_SET(got, co_await core::read_standard_input(piece));
    }
    if (got == 0) break;
    CO_TRY(co_await stream.append(ByteView(piece).first(got)));
    progress.update(stream.size(), total);
  }
  if (stream.size() == 0) {
    co_return fail(Code::kInvalidArgument, file ? "'" + job.call.input +
                                                      "' is empty; a value is "
                                                      "one byte at least"
                                                : "No value provided and stdin is empty.");
  }
  co_return co_await stream.commit();
}

namespace {

KvDone write_file(KvJob* job, core::File* file, Value value) {
  KvProgress progress(*job);
  CO_TRY(value.fetch());
  const ByteView bytes = value.bytes();
  for (std::size_t at = 0; at < bytes.size();) {
    const std::size_t size = std::min(limits::kKvStreamPieceBytes, bytes.size() - at);
    CO_TRY(co_await file->write(at, bytes.subspan(at, size)));
    at += size;
    progress.update(at, bytes.size());
  }
  co_return co_await file->sync_data();
}

// Whether a new file may get the name `path`.
KvDone may_replace(core::FileSystem* files, std::string path, bool force) {
  // By its name alone: opening a pipe would wait for its other end.
  std::error_code missing;
  const auto kind = std::filesystem::status(path, missing).type();
  using enum std::filesystem::file_type;
  if (kind == directory) co_return fail(Code::kInvalidArgument, "'" + path + "' is a directory");
  if (kind == block || kind == character || kind == fifo || kind == socket) {
    co_return fail(Code::kInvalidArgument, "'" + path +
                                               "' is a device, a pipe or a socket. Read to "
                                               "standard output and write it there");
  }
  const auto existing = co_await files->open(path, {});
  if (!existing) {
    if (existing.error().code == Code::kNotFound) co_return Result<void>();
    co_return std::unexpected(existing.error());
  }
  if (!force) {
    co_return fail(Code::kAlreadyExists, "'" + path + "' exists. Replace it with --force");
  }
  co_return Result<void>();
}

}  // namespace

KvDone kv_read_value(KvJob& job, Value value) {
  if (job.call.to.empty()) {
    CO_TRY(value.fetch());
    co_return co_await core::write_standard_output(value.bytes());
  }
  const std::string path = job.call.to, part = path + ".part";
  auto& files = job.env.files();
  CO_TRY(co_await may_replace(&files, path, job.call.force));
  core::OpenOptions options;
  options.write = options.create = options.truncate = true;
  CO_TRY_SET(auto file, co_await files.open(part, options));
  auto done = co_await write_file(&job, file.get(), std::move(value));
  file.reset();
  if (done) done = co_await files.rename(part, path);
  if (done) co_return co_await files.sync_directory(folder_of(path));
  [[maybe_unused]] auto removed = co_await files.remove(part);
  co_return done;
}

}  // namespace capstan::apps
