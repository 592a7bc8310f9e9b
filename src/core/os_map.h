// Why this file exists: memory that the operating system maps: the pages of a file, or pages of its
// own that cost nothing until they are touched. Files are mapped through File::map() (core/env.h);
// the simulated one puts its content into own pages.
// Thread-safety: none needed; a MemoryMap is an address with an owner.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "core/os_bad_pages.h"

namespace capstan::core {

class MemoryMap {
 public:
  // The first `bytes` of the open file, shared and read-only. It may be longer than the file: what
  // the file grows to becomes readable, what is behind its end must not be touched. What the disk
  // cannot read is noted (core/os_bad_pages.h); `path` is for messages.
  static Result<MemoryMap> of_file(int descriptor, std::uint64_t bytes, std::string path);
  // Zeros, writable, given memory page by page when written.
  static Result<MemoryMap> of_zeros(std::uint64_t bytes);
  // Asks for large pages below it, for memory that is read here and there: a hint.
  void prefer_large_pages() const;

  MemoryMap(MemoryMap&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        file_(std::move(other.file_)) {}
  MemoryMap& operator=(MemoryMap&&) = delete;
  ~MemoryMap();

  const std::uint8_t* data() const { return data_; }
  std::uint8_t* writable() { return data_; }  // only of_zeros()
  std::uint64_t size() const { return size_; }

 private:
  MemoryMap(void* data, std::uint64_t size)
      : data_(static_cast<std::uint8_t*>(data)), size_(size) {}
  static Result<MemoryMap> make(int descriptor, std::uint64_t bytes, int protection, int flags);
  std::uint8_t* data_;
  std::uint64_t size_;
  std::unique_ptr<MappedFile> file_;
};

}  // namespace capstan::core
