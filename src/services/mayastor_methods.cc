// Why this file exists: see mayastor_methods.h.
#include "services/mayastor_methods.h"

#include <cerrno>

#include "rpc/json_call.h"
#include "services/errors.h"
#include "services/spdk_params.h"

namespace capstan::services {
namespace {

using Empty = google::protobuf::Empty;

constexpr std::uint32_t kControllerIdMax = 65535;

}  // namespace

core::Task<Result<Empty>> MayastorMethods::config_export(rpc::Call&, const Empty&) {
  if (!write_config_) {
    devices_.engine().log().warn(
        "no_config_file", {{"message", "nothing to export to: start the node with -y FILE"}});
    co_return Empty();
  }
  CO_TRY(co_await write_config_());
  co_return Empty();
}

core::Task<Result<spdk::NexusShareResponse>> MayastorMethods::nexus_share(
    rpc::Call& call, const spdk::NexusShareRequest& request) {
  CO_TRY(require(call, request, {"name", "protocol", "cntlid_min", "cntlid_max"}));
  if (request.cntlid_min() > kControllerIdMax || request.cntlid_max() > kControllerIdMax) {
    co_return rpc::json_invalid_params("nexus_share: controller ids go up to 65535");
  }
  if (request.protocol() != "nvmf") co_return rpc::json_invalid_params("invalid protocol");
  const auto device = spdk_find(devices_.engine(), request.name());
  if (!device) {
    co_return rpc::json_error(Code::kNotFound, -ENOENT, "bdev not found",
                              "device '" + request.name() + "'");
  }
  Shares& shares = devices_.engine().shares();
  auto shared = shares.check();
  if (shared) {
    ShareOptions options;
    options.min_controller = static_cast<std::uint16_t>(request.cntlid_min());
    options.max_controller = static_cast<std::uint16_t>(request.cntlid_max());
    options.ana = true;
    shared = shares.share(device, std::move(options));
  }
  if (!shared) {
    const Code code = share_error(shared.error()).code;
    co_return rpc::json_error(
        code, rpc::json_code::kInternalError,
        "device '" + device->name() + "' cannot be shared: " + shared.error().text());
  }
  spdk::NexusShareResponse response;
  response.set_uri(shares.nvmf_uri(*device));
  co_return response;
}

Result<void> bind_mayastor_methods(rpc::Directory& directory, MayastorMethods& service) {
  using S = MayastorMethods;
  TRY(directory.declare(spdk::NexusShareRequest::descriptor()->file()->service(0)));
  TRY(rpc::bind_unary(directory, "spdk.MayastorMethods/ConfigExport", service, &S::config_export));
  return rpc::bind_unary(directory, "spdk.MayastorMethods/NexusShare", service, &S::nexus_share);
}

}  // namespace capstan::services
