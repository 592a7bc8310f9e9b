// Why this file exists: see listing.h.
#include "model/listing.h"

#include "base/uuid.h"
#include "rpc/wishes.h"

namespace capstan::model {

namespace v1 = ::mayastor::v1;

std::unexpected<Error> lvm_refused() {
  return fail(Code::kFailedPrecondition, "lvm support not enabled");
}

Result<void> check_listing(const v1::ListPoolOptions& request) {
  if (!request.has_pooltype()) return {};
  const auto type = request.pooltype().value();
  if (!v1::PoolType_IsValid(type)) {
    return fail_field("pooltype", "Unknown pool type " + std::to_string(type));
  }
  if (type == v1::Lvm) return lvm_refused();
  return {};
}

Result<bool> check_listing(const v1::ListReplicaOptions& request) {
  bool any = request.pooltypes().empty();
  for (const int type : request.pooltypes()) {
    if (!v1::PoolType_IsValid(type)) {
      return fail_field("pooltypes", "Unknown pool type " + std::to_string(type));
    }
    any = any || type != v1::Lvm;  // nothing here is on LVM
  }
  return any;
}

bool is_same_uuid(std::string_view asked, std::string_view held) {
  if (asked == held) return true;
  const auto uuid = Uuid::parse(asked);
  return uuid && uuid == Uuid::parse(held);
}

Result<void> check_pool(const rpc::Call& call, const v1::ListReplicaOptions& request,
                        const std::function<bool(const std::string&)>& is_open) {
  if (!request.has_poolname() || !rpc::wishes(call, rpc::kWishMissing, "error")) return {};
  const std::string& name = request.poolname().value();
  if (is_open(name)) return {};
  return fail(Code::kNotFound, "pool '" + name + "' not found");
}

}  // namespace capstan::model
