// Why this file exists: what every environment shares: addresses as text and whole-file helpers.
#include "core/env.h"

#include "base/path.h"

namespace capstan::core {

std::string Address::text() const {
  if (kind == Kind::kUnix) return "unix:" + path;
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Task<Result<void>> Stream::write_pieces(std::span<const ByteView> pieces) {
  for (const ByteView piece : pieces) CO_TRY(co_await write(piece));
  co_return Result<void>();
}

Task<Result<void>> Stream::write_kept(std::span<const ByteView> pieces,
                                      std::shared_ptr<const void> owner) {
  const auto kept = std::move(owner);
  co_return co_await write_pieces(pieces);
}

Task<Result<std::optional<std::size_t>>> PacketSocket::receive(MutableBytes into) {
  const MutableBytes parts[] = {into};
  co_return co_await receive(parts);
}

Result<std::shared_ptr<FileMap>> File::map(std::uint64_t) {
  return fail(Code::kUnimplemented, "this file cannot be mapped into memory");
}

Result<bool> File::write_cached(std::uint64_t, ByteView) {
  return false;
}

Uuid Env::random_uuid() {
  std::array<std::uint8_t, 16> bytes{};
  fill_random(bytes);
  return Uuid::from_random(bytes);
}

Task<Result<std::string>> FileSystem::read_file(std::string path, std::size_t limit_bytes) {
  CO_TRY_SET(auto file, co_await open(path, OpenOptions{}));
  const auto size = file->info().size_bytes;
  if (size > limit_bytes) {
    co_return fail(Code::kOutOfRange, "file '" + path + "' has " + std::to_string(size) +
                                          " bytes, more than the limit of " +
                                          std::to_string(limit_bytes));
  }
  std::string content(size, '\0');
  auto* data = reinterpret_cast<std::uint8_t*>(content.data());
  CO_TRY_SET(const std::size_t got, co_await file->read(0, MutableBytes(data, content.size())));
  content.resize(got);
  co_return content;
}

Task<Result<void>> FileSystem::replace_file(std::string path, std::string content) {
  const std::string temporary = path + ".new";
  OpenOptions options;
  options.write = options.create = options.truncate = true;
  {
    CO_TRY_SET(auto file, co_await open(temporary, options));
    CO_TRY(co_await file->write(0, as_bytes(content)));
    CO_TRY(co_await file->sync_data());
  }
  CO_TRY(co_await rename(temporary, path));
  co_return co_await sync_directory(folder_of(path));
}

}  // namespace capstan::core
