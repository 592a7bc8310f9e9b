// Why this file exists: the coroutines that carry out the commands, one per row of the table in
// command_table.cc. Each talks to the node through the session, prints its result there and returns
// the server's error unchanged.
#pragma once

#include "apps/capstan/command.h"

namespace capstan::apps {

using Done = core::Task<Result<void>>;

Done node_version(Session& session, Arguments arguments);
Done node_health(Session& session, Arguments arguments);
Done node_operations(Session& session, Arguments arguments);
Done node_config(Session& session, Arguments arguments);
Done node_metrics(Session& session, Arguments arguments);
Done node_info(Session& session, Arguments arguments);
Done node_resources(Session& session, Arguments arguments);
Done node_devices(Session& session, Arguments arguments);

Done pool_create(Session& session, Arguments arguments);
Done pool_import(Session& session, Arguments arguments);
Done pool_export(Session& session, Arguments arguments);
Done pool_destroy(Session& session, Arguments arguments);
Done pool_list(Session& session, Arguments arguments);
Done pool_grow(Session& session, Arguments arguments);

Done replica_create(Session& session, Arguments arguments);
Done replica_destroy(Session& session, Arguments arguments);
Done replica_list(Session& session, Arguments arguments);
Done replica_resize(Session& session, Arguments arguments);
Done replica_share(Session& session, Arguments arguments);
Done replica_unshare(Session& session, Arguments arguments);
Done replica_set_entity_id(Session& session, Arguments arguments);

Done bdev_create(Session& session, Arguments arguments);
Done bdev_destroy(Session& session, Arguments arguments);
Done bdev_list(Session& session, Arguments arguments);

Done image_import(Session& session, Arguments arguments);
Done image_export(Session& session, Arguments arguments);

Done kv_write(Session& session, Arguments arguments);
Done kv_read(Session& session, Arguments arguments);
Done kv_exists(Session& session, Arguments arguments);
Done kv_metadata(Session& session, Arguments arguments);
Done kv_delete(Session& session, Arguments arguments);
Done kv_rename(Session& session, Arguments arguments);
Done kv_copy(Session& session, Arguments arguments);
Done kv_move(Session& session, Arguments arguments);
Done kv_compact(Session& session, Arguments arguments);
Done kv_info(Session& session, Arguments arguments);
Done kv_keys(Session& session, Arguments arguments);

Done rpc_call(Session& session, Arguments arguments);
Done rpc_list(Session& session, Arguments arguments);
Done rpc_names(Session& session, Arguments arguments);
Done rpc_describe(Session& session, Arguments arguments);
Done rpc_schema(Session& session, Arguments arguments);
Done rpc_format(Session& session, Arguments arguments);
Done rpc_get(Session& session, Arguments arguments);
Done rpc_delete(Session& session, Arguments arguments);
Done rpc_post(Session& session, Arguments arguments);
Done rpc_put(Session& session, Arguments arguments);
Done rpc_patch(Session& session, Arguments arguments);

Done watch_bootstrapped(Session& session, Arguments arguments);
Done watch_pools(Session& session, Arguments arguments);
Done watch_replicas(Session& session, Arguments arguments);
Done watch_state(Session& session, Arguments arguments);
Done watch_stats(Session& session, Arguments arguments);
Done watch_events(Session& session, Arguments arguments);
Done watch_kv(Session& session, Arguments arguments);

Done top(Session& session, Arguments arguments);

}  // namespace capstan::apps
