// Why this file exists: the local ends of an image transfer. An ImageSource gives the data of a
// file or of standard input in ascending extents and skips what is zero; an ImageTarget writes a
// sparse file that appears under its name only when it is complete and durable, or standard output.
// Lifetimes: one transfer each; finish() or abandon() before the target is destroyed.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "core/buffer.h"
#include "core/env.h"
#include "core/os_sparse.h"

namespace capstan::apps {

// kInvalidArgument for a pipe, a socket or a character device: opening one may wait for its other
// end for ever, and it has no size. `instead` says what to do.
Result<void> check_no_pipe(const std::string& path, std::string_view instead);

class ImageSource {
 public:
  // "-" is standard input, whose size must be given when it is a pipe. `dense`: zeros that stand
  // in the file are data, only its holes are skipped. `token` ends a wait for standard input.
  static core::Task<Result<std::unique_ptr<ImageSource>>> open(core::Env& env, std::string path,
                                                               std::optional<std::uint64_t> size,
                                                               bool dense,
                                                               core::CancelToken token = {});

  std::uint64_t size_bytes() const { return size_; }
  std::uint64_t data_bytes() const { return data_; }  // at most; for progress

  // A run of data inside the next piece of the image; valid until the next call.
  struct Run {
    std::uint64_t offset;
    ByteView bytes;
  };
  // All runs of the next piece (at most kImageChunkBytes); nothing at the end. A piece of zeros
  // has no runs.
  core::Task<Result<std::optional<std::vector<Run>>>> next();
  std::uint64_t data_done() const { return done_; }

 private:
  ImageSource() : buffer_(0) {}
  Result<void> find_extents(const std::string& path);
  core::Task<Result<std::size_t>> read_piece(std::uint64_t offset, std::size_t length);
  // Standard input must end where --size says that the image does.
  core::Task<Result<void>> check_end();

  std::unique_ptr<core::File> file_;  // null: standard input
  std::uint64_t size_ = 0, data_ = 0, done_ = 0;
  bool dense_ = false, at_end_ = false;
  std::vector<core::FileExtent> extents_;
  std::size_t at_ = 0;        // in extents_
  std::uint64_t within_ = 0;  // bytes of that extent already read
  core::Buffer buffer_;
  core::CancelToken token_;
};

class ImageTarget {
 public:
  // "-" is standard output. An existing file is refused unless `replace`. `token` ends a wait for
  // whoever reads standard output.
  static core::Task<Result<std::unique_ptr<ImageTarget>>> create(core::Env& env, std::string path,
                                                                 bool replace,
                                                                 core::CancelToken token = {});
  ~ImageTarget();

  // Ascending offsets; what is left out is zeros.
  core::Task<Result<void>> write(std::uint64_t offset, ByteView bytes);
  // The image is `size` bytes long and complete: makes it durable and gives it its name.
  core::Task<Result<void>> finish(std::uint64_t size);
  // Removes what was written.
  core::Task<void> abandon();

 private:
  ImageTarget(core::Env& env, std::string path, core::CancelToken token)
      : env_(env), path_(std::move(path)), token_(std::move(token)) {}
  std::string part_path() const { return path_ + ".part"; }
  core::Task<Result<void>> pad_to(std::uint64_t position);

  core::Env& env_;
  std::string path_;
  core::CancelToken token_;
  std::unique_ptr<core::File> file_;  // null: standard output
  std::uint64_t position_ = 0;        // standard output: bytes written
  bool open_ = true;
};

}  // namespace capstan::apps
