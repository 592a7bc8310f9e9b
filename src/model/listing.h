// Why this file exists: which pools and replicas a list request means. The node asks this of its
// objects, a gateway of the messages it mirrors, so both answer alike. Whatever has the accessors
// of the message (name(), uuid() …) may be asked about.
// Source: io-engine-behaviour sections 7 and 8.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "pool.pb.h"
#include "replica.pb.h"
#include "rpc/call.h"

namespace capstan::model {

// Pools on LVM are refused wherever somebody asks for them.
std::unexpected<Error> lvm_refused();

// Whether the request can be answered.
Result<void> check_listing(const mayastor::v1::ListPoolOptions& request);
// The same; false: no replica can match it.
Result<bool> check_listing(const mayastor::v1::ListReplicaOptions& request);

// kNotFound for the replicas of a pool that is not there, when the call wants that to be an error.
Result<void> check_pool(const rpc::Call& call, const mayastor::v1::ListReplicaOptions& request,
                        const std::function<bool(const std::string&)>& is_open);

// Whether a client that writes `asked` means the object whose UUID is `held`: letters may be of
// either case, as wherever else a UUID is read.
bool is_same_uuid(std::string_view asked, std::string_view held);

template <class Pool>
bool is_listed(const mayastor::v1::ListPoolOptions& request, const Pool& pool) {
  if (request.has_name()) return request.name().value() == pool.name();
  return !request.has_uuid() || is_same_uuid(request.uuid().value(), pool.uuid());
}

template <class Replica>
bool is_listed(const mayastor::v1::ListReplicaOptions& request, const Replica& replica) {
  if (request.has_name() && request.name().value() != replica.name()) return false;
  if (request.has_uuid() && !is_same_uuid(request.uuid().value(), replica.uuid())) return false;
  if (request.has_poolname() && request.poolname().value() != replica.poolname()) return false;
  if (request.has_pooluuid() && !is_same_uuid(request.pooluuid().value(), replica.pooluuid()))
    return false;
  if (!request.has_query()) return true;
  const auto& query = request.query();
  const bool snapshot = replica.is_snapshot();
  const bool clone = replica.is_clone();
  return (query.snapshot() && snapshot) || (query.clone() && clone) ||
         (query.replica() && !snapshot && !clone);
}

}  // namespace capstan::model
