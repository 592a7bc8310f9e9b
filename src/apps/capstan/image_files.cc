// Why this file exists: see image_files.h.
#include "apps/capstan/image_files.h"

#include <algorithm>
#include <filesystem>

#include "apps/capstan/printer.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/path.h"
#include "core/os_stdio.h"

namespace capstan::apps {
namespace {

constexpr std::size_t kZeroGrain = 64U << 10;  // zeros shorter than this are sent as data
constexpr std::string_view kStandard = "-";

// The parts of `piece` that are not zero, in steps of kZeroGrain.
std::vector<ImageSource::Run> runs_of(ByteView piece, std::uint64_t offset, bool dense) {
  std::vector<ImageSource::Run> runs;
  if (dense) return {{offset, piece}};
  std::size_t begin = 0;
  bool in_run = false;
  for (std::size_t at = 0; at < piece.size(); at += kZeroGrain) {
    const bool zero = all_zero(piece.subspan(at, std::min(kZeroGrain, piece.size() - at)));
    if (!zero && !in_run) begin = at;
    if (zero && in_run) runs.push_back({offset + begin, piece.subspan(begin, at - begin)});
    in_run = !zero;
  }
  if (in_run) runs.push_back({offset + begin, piece.subspan(begin)});
  return runs;
}

core::Task<Result<void>> write_output(ByteView bytes, core::CancelToken token) {
  auto written = co_await core::write_standard_output(bytes, std::move(token));
  if (!written) co_return output_error(std::move(written).error());
  co_return written;
}

}  // namespace

Result<void> check_no_pipe(const std::string& path, std::string_view instead) {
  using enum std::filesystem::file_type;
  std::error_code missing;
  const auto kind = std::filesystem::status(path, missing).type();
  if (kind != fifo && kind != socket && kind != character) return {};
  return fail(
      Code::kInvalidArgument,
      "'" + path + "' is a pipe, a socket or a device without a size. " + std::string(instead));
}

core::Task<Result<std::unique_ptr<ImageSource>>> ImageSource::open(
    core::Env& env, std::string path, std::optional<std::uint64_t> size, bool dense,
    core::CancelToken token) {
  std::unique_ptr<ImageSource> source(new ImageSource());
  source->dense_ = dense;
  source->token_ = std::move(token);
  source->buffer_ = core::Buffer(limits::kImageChunkBytes);
  if (path == kStandard) {
    if (!size) {
      co_return fail(Code::kInvalidArgument,
                     "the size of standard input is not known. Give it with --size");
    }
    source->size_ = *size;
    if (*size > 0) source->extents_.push_back({0, *size});
  } else {
    CO_TRY(check_no_pipe(path, "Read it into standard input, and give its size with --size"));
    CO_TRY_SET(source->file_, co_await env.files().open(path, {}));
    source->size_ = source->file_->info().size_bytes;
    if (size && *size != source->size_) {
      co_return fail(Code::kInvalidArgument, "'" + path + "' has " + std::to_string(source->size_) +
                                                 " bytes, not the " + std::to_string(*size) +
                                                 " of --size. Leave --size out");
    }
    CO_TRY(source->find_extents(path));
  }
  for (const core::FileExtent& extent : source->extents_) source->data_ += extent.length;
  co_return source;
}

Result<void> ImageSource::find_extents(const std::string& path) {
  TRY_SET(core::SparseMap map, core::SparseMap::open(path));
  for (std::uint64_t offset = 0; offset < size_;) {
    TRY_SET(const auto extent, map.next_data(offset));
    if (!extent || extent->offset >= size_) break;
    const std::uint64_t length = std::min(extent->length, size_ - extent->offset);
    if (length == 0) break;
    extents_.push_back({extent->offset, length});
    offset = extent->offset + length;
  }
  return {};
}

core::Task<Result<std::size_t>> ImageSource::read_piece(std::uint64_t offset, std::size_t length) {
  const MutableBytes into = buffer_.bytes().first(length);
  if (file_) co_return co_await file_->read(offset, into);
  co_return co_await core::read_standard_input(into, token_);
}

core::Task<Result<void>> ImageSource::check_end() {
  if (file_ || at_end_) co_return Result<void>();
  CO_TRY_SET(const std::size_t more, co_await read_piece(size_, 1));
  if (more != 0) {
    co_return fail(Code::kDataLoss, "standard input goes on after the " + std::to_string(size_) +
                                        " bytes of --size: what was written is not the whole "
                                        "image. Give its real size");
  }
  at_end_ = true;
  co_return Result<void>();
}

core::Task<Result<std::optional<std::vector<ImageSource::Run>>>> ImageSource::next() {
  if (at_ == extents_.size()) {
    CO_TRY(co_await check_end());
    co_return std::optional<std::vector<Run>>();
  }
  const core::FileExtent extent = extents_[at_];
  const std::uint64_t offset = extent.offset + within_;
  const auto length =
      static_cast<std::size_t>(std::min<std::uint64_t>(buffer_.size(), extent.length - within_));
  CO_TRY_SET(const std::size_t got, co_await read_piece(offset, length));
  if (got != length) {
    co_return fail(Code::kDataLoss, "the image ends at byte " + std::to_string(offset + got) +
                                        ", but it should have " + std::to_string(size_));
  }
  done_ += length;
  within_ += length;
  if (within_ == extent.length) {
    ++at_;
    within_ = 0;
  }
  co_return std::optional(runs_of(buffer_.view().first(length), offset, dense_));
}

core::Task<Result<std::unique_ptr<ImageTarget>>> ImageTarget::create(core::Env& env,
                                                                     std::string path, bool replace,
                                                                     core::CancelToken token) {
  std::unique_ptr<ImageTarget> target(new ImageTarget(env, path, std::move(token)));
  if (path == kStandard) co_return target;
  CO_TRY(check_no_pipe(path, "Write to standard output, and from there to it"));
  auto existing = co_await env.files().open(path, {});
  if (existing && (*existing)->info().is_block_device) {
    co_return fail(
        Code::kInvalidArgument,
        "'" + path + "' is a block device. Export to standard output and write it there");
  }
  if (!existing && existing.error().code != Code::kNotFound) {
    co_return std::unexpected(std::move(existing).error());
  }
  if (existing && !replace) {
    co_return fail(Code::kAlreadyExists, "'" + path + "' exists. Replace it with --force");
  }
  core::OpenOptions options;
  options.write = options.create = options.truncate = true;
  CO_TRY_SET(target->file_, co_await env.files().open(target->part_path(), options));
  co_return target;
}

ImageTarget::~ImageTarget() {
  CAPSTAN_ASSERT(!open_ || !file_);
}

core::Task<Result<void>> ImageTarget::pad_to(std::uint64_t position) {
  if (position < position_) co_return fail(Code::kInternal, "the server sent extents out of order");
  const core::Buffer zeros = core::Buffer::zeroed(static_cast<std::size_t>(
      std::min<std::uint64_t>(limits::kImageChunkBytes, position - position_)));
  while (position_ < position) {
    const auto step = std::min<std::uint64_t>(zeros.size(), position - position_);
    CO_TRY(co_await write_output(zeros.view().first(static_cast<std::size_t>(step)), token_));
    position_ += step;
  }
  co_return Result<void>();
}

core::Task<Result<void>> ImageTarget::write(std::uint64_t offset, ByteView bytes) {
  if (file_) co_return co_await file_->write(offset, bytes);
  CO_TRY(co_await pad_to(offset));
  CO_TRY(co_await write_output(bytes, token_));
  position_ += bytes.size();
  co_return Result<void>();
}

core::Task<Result<void>> ImageTarget::finish(std::uint64_t size) {
  if (!file_) {
    open_ = false;
    co_return co_await pad_to(size);
  }
  CO_TRY(co_await file_->truncate(size));
  CO_TRY(co_await file_->sync_data());
  file_.reset();
  open_ = false;
  CO_TRY(co_await env_.files().rename(part_path(), path_));
  co_return co_await env_.files().sync_directory(folder_of(path_));
}

core::Task<void> ImageTarget::abandon() {
  if (!file_ || !open_) co_return;
  file_.reset();
  open_ = false;
  // Nothing more can be done about a leftover: its name says what it is.
  [[maybe_unused]] auto removed = co_await env_.files().remove(part_path());
}

}  // namespace capstan::apps
