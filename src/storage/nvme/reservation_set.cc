// Why this file exists: see reservation_set.h.
#include "storage/nvme/reservation_set.h"

#include "core/file_names.h"
#include "storage/nvme/limits.h"
#include "storage/nvme/reservation_codec.h"

namespace capstan::storage::nvme {

core::Task<Result<void>> ReservationSet::load() {
  const auto guard = co_await turn_.lock();
  if (loaded()) co_return {};
  const auto text = co_await file_.files->read_file(file_.path, limits::kReservationFileBytes);
  if (text) {
    auto read = load_reservation_file(*text, file_.device);
    if (!read) co_return std::unexpected(std::move(read).error().within("'" + file_.path + "'"));
    state_ = *std::move(read);
  } else if (text.error().code != Code::kNotFound) {
    co_return std::unexpected(text.error());
  }
  loaded_ = true;
  co_return {};
}

core::Task<Result<void>> ReservationSet::commit(Reservations wanted) {
  if (durable() && wanted.persistent) {
    const auto slash = file_.path.rfind('/');
    if (slash != std::string::npos && slash != 0) {
      CO_TRY(co_await file_.files->make_directories(file_.path.substr(0, slash)));
    }
    CO_TRY(co_await file_.files->replace_file(file_.path,
                                              store_reservation_file(wanted, file_.device)));
  } else if (durable() && state_.persistent) {
    CO_TRY(co_await remove_reservation_file(*file_.files, file_.path));
  }
  state_ = std::move(wanted);
  co_return {};
}

core::Task<Result<void>> remove_reservation_file(core::FileSystem& files, std::string path) {
  auto removed = co_await files.remove(path);
  if (!removed && removed.error().code == Code::kNotFound) co_return {};
  if (!removed) co_return removed;
  const auto slash = path.rfind('/');
  if (slash == std::string::npos || slash == 0) co_return {};
  co_return co_await files.sync_directory(path.substr(0, slash));
}

}  // namespace capstan::storage::nvme
