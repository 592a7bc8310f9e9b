// Why this file exists: see absent.h.
#include "services/absent.h"

#include "mayastor.pb.h"
#include "nexus.pb.h"
#include "snapshot-rebuild.pb.h"
#include "snapshot.pb.h"
#include "stats.pb.h"
#include "test.pb.h"

namespace capstan::services {
namespace {

// All of a file's services but those that the caller has declared already.
Result<void> declare_all(rpc::Directory& directory, const google::protobuf::FileDescriptor* file) {
  for (int s = 0; s < file->service_count(); ++s) {
    const auto* service = file->service(s);
    if (directory.has_service(service->full_name())) continue;
    std::set<std::string> absent;
    for (int m = 0; m < service->method_count(); ++m) absent.insert(service->method(m)->name());
    TRY(directory.declare(service, std::move(absent)));
  }
  return {};
}

}  // namespace

Result<void> declare_absent(rpc::Directory& directory, bool v0, bool v1) {
  namespace api = ::mayastor::v1;
  if (v1) {
    TRY(declare_all(directory, api::Nexus::descriptor()->file()));
    TRY(declare_all(directory, api::SnapshotInfo::descriptor()->file()));
    TRY(declare_all(directory, api::SnapshotRebuild::descriptor()->file()));
    TRY(declare_all(directory, api::IoStats::descriptor()->file()));
    TRY(declare_all(directory, api::TestFeatures::descriptor()->file()));
  }
  if (!v0) return {};
  return declare_all(directory, ::mayastor::Null::descriptor()->file());
}

}  // namespace capstan::services
