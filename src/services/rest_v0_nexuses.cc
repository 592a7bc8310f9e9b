// Why this file exists: see rest_v0.h; nexuses, of which this node has none. The paths are there so
// that clients are told so in the API's own words.
#include "services/rest_v0.h"

namespace capstan::services {

namespace v0 = ::capstan::rest::v0;
using S = RestServiceV0;

namespace {

std::unexpected<Error> no_nexus(const std::string& id) {
  return fail(Code::kNotFound, "Nexus '" + id + "' not found: this node has no nexuses");
}

}  // namespace

S::Answer<v0::NexusList> S::get_nexuses(rpc::Call&, const v0::GetNexusesRequest& request) {
  CO_TRY(check_node_of(request));
  co_return v0::NexusList();
}

S::Answer<v0::Nexus> S::get_nexus(rpc::Call&, const v0::NexusRequest& request) {
  CO_TRY(check_node_of(request));
  co_return no_nexus(request.id());
}

S::Answer<v0::Nexus> S::put_nexus(rpc::Call&, const v0::PutNexusRequest& request) {
  CO_TRY(check_node(request.node()));
  co_return fail(Code::kUnimplemented, "this node makes no nexuses");
}

S::Answer<S::Empty> S::del_nexus(rpc::Call&, const v0::NexusRequest& request) {
  CO_TRY(check_node_of(request));
  co_return no_nexus(request.id());
}

S::Answer<v0::ShareUri> S::put_nexus_share(rpc::Call&, const v0::PutNexusShareRequest& request) {
  CO_TRY(check_node(request.node()));
  co_return no_nexus(request.id());
}

S::Answer<S::Empty> S::del_nexus_share(rpc::Call&, const v0::NexusRequest& request) {
  CO_TRY(check_node_of(request));
  co_return no_nexus(request.id());
}

S::Answer<v0::ChildList> S::get_nexus_children(rpc::Call&, const v0::NexusRequest& request) {
  CO_TRY(check_node_of(request));
  co_return no_nexus(request.id());
}

S::Answer<v0::Child> S::get_nexus_child(rpc::Call&, const v0::ChildRequest& request) {
  CO_TRY(check_node_of(request));
  co_return no_nexus(request.id());
}

S::Answer<v0::Child> S::put_nexus_child(rpc::Call&, const v0::ChildRequest& request) {
  CO_TRY(check_node_of(request));
  co_return no_nexus(request.id());
}

S::Answer<S::Empty> S::del_nexus_child(rpc::Call&, const v0::ChildRequest& request) {
  CO_TRY(check_node_of(request));
  co_return no_nexus(request.id());
}

}  // namespace capstan::services
