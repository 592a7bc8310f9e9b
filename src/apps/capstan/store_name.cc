#include "apps/capstan/store_name.h"

#include "datastore/datastore.pb.h"

namespace capstan::apps {

core::Task<Result<std::string>> store_name(Session& session, const Arguments& arguments) {
  namespace d1 = ::capstan::datastore::v1;
  if (arguments.given("store") || !session.over_http()) co_return arguments.text("store");
  CO_TRY_SET(const auto answer,
             co_await session.call<d1::ListStoresResponse>(
                 "capstan.datastore.v1.DataStoreRpc/ListStores", d1::ListStoresRequest()));
  if (answer.stores_size() == 0) {
    co_return fail(Code::kNotFound, "the node has no store. Start it with --kv NAME=PATH");
  }
  co_return answer.stores(0).name();
}

}  // namespace capstan::apps
