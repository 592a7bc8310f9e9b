// Why this file exists: see absent.h.
#include "services/absent.h"

#include "json.pb.h"
#include "mayastor.pb.h"
#include "nexus.pb.h"
#include "snapshot-rebuild.pb.h"
#include "snapshot.pb.h"
#include "stats.pb.h"
#include "test.pb.h"

namespace capstan::services {
namespace {

Result<void> declare_all(rpc::Directory& directory, const google::protobuf::FileDescriptor* file) {
  for (int s = 0; s < file->service_count(); ++s) {
    const auto* service = file->service(s);
    std::set<std::string> absent;
    for (int m = 0; m < service->method_count(); ++m) absent.insert(service->method(m)->name());
    TRY(directory.declare(service, std::move(absent)));
  }
  return {};
}

}  // namespace

Result<void> declare_absent(rpc::Directory& directory, bool v0) {
  namespace v1 = ::mayastor::v1;
  TRY(declare_all(directory, v1::Nexus::descriptor()->file()));
  TRY(declare_all(directory, v1::SnapshotInfo::descriptor()->file()));
  TRY(declare_all(directory, v1::SnapshotRebuild::descriptor()->file()));
  TRY(declare_all(directory, v1::IoStats::descriptor()->file()));
  TRY(declare_all(directory, v1::JsonRpcRequest::descriptor()->file()));
  TRY(declare_all(directory, v1::TestFeatures::descriptor()->file()));
  if (!v0) return {};
  return declare_all(directory, ::mayastor::Null::descriptor()->file());
}

}  // namespace capstan::services
