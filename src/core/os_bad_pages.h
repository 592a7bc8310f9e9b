// Why this file exists: a page of a mapped file that the disk cannot read (or that somebody cut
// off) is no error that a load could return: the kernel sends SIGBUS, which would end the whole
// node for one bad sector. Here the handler of that signal puts a page of zeros in the place of the
// bad one, notes it, and lets the reader go on. So whoever uses mapped bytes asks check_readable()
// afterwards, before he believes them or hands them on.
//
// What holds: only pages of MappedFiles are handled; any other SIGBUS does what it did before. A
// bad page stays bad for this mapping. System calls that are given mapped memory fail with EFAULT
// instead and note nothing: touch() the bytes first.
// Thread-safety: everything on any thread. The note is there before the zeros are.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/result.h"

namespace capstan::core {

// As long as it exists, bad pages of this mapping are noted. `data` is where byte 0 of the file is;
// `path` is for messages. kResourceExhausted when there are very many mappings already.
class MappedFile {
 public:
  static Result<std::unique_ptr<MappedFile>> add(const std::uint8_t* data, std::uint64_t size,
                                                 std::string path);
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

 private:
  MappedFile(std::size_t place, std::string path) : place_(place), path_(std::move(path)) {}
  const std::size_t place_;
  const std::string path_;
};

// kDataLoss when some of these mapped bytes were on a bad page when they were touched: what was
// read may have been zeros instead. Costs one load while there is no bad page.
Result<void> check_readable(ByteView bytes);
// Reads something of every page that the bytes are on.
void touch(ByteView bytes);

}  // namespace capstan::core
