// Why this file exists: `capstan top`: what a node does right now, as rates between two looks at
// its counters: calls of each wire, pools, I/O of replicas. On a terminal the page is drawn anew;
// else each is printed after the other, and with -o json as one line. Its own calls count like any
// others.
#include <cstdio>

#include "apps/capstan/commands.h"
#include "apps/capstan/connect.h"
#include "apps/capstan/session.h"
#include "apps/capstan/shown.h"
#include "apps/capstan/top_sample.h"
#include "base/duration_text.h"
#include "core/os_file.h"
#include "replica.pb.h"
#include "rpc/json_text.h"

namespace capstan::apps {
namespace {

namespace v1 = ::mayastor::v1;
using v1::ListStatsOption;

// A look at the node.
struct Look {
  Sample sample;
  bool has_metrics = true;
  node::v1::Version version;
  v1::ListPoolsResponse pools;
  v1::ListReplicasResponse replicas;
};

core::Task<Result<Look>> look(Session& session) {
  Look seen;
  CO_TRY_SET(seen.version,
             co_await session.call<node::v1::Version>("capstan.node.v1.NodeRpc/GetVersion",
                                                      node::v1::GetVersionRequest()));
  auto metrics = co_await session.call<node::v1::MetricsText>("capstan.node.v1.NodeRpc/GetMetrics",
                                                              node::v1::GetMetricsRequest());
  // Older nodes have them at an address of their own over HTTP.
  seen.has_metrics = metrics || metrics.error().code != Code::kUnimplemented;
  if (seen.has_metrics && !metrics) co_return std::unexpected(std::move(metrics).error());
  seen.sample.at = static_cast<double>(core::Reactor::current()->read_clock()) / 1e9;
  if (metrics) seen.sample.wires = read_wire_counters(metrics->text());
  CO_TRY_SET(seen.pools, co_await session.call<v1::ListPoolsResponse>(
                             "mayastor.v1.PoolRpc/ListPools", v1::ListPoolOptions()));
  CO_TRY_SET(seen.replicas, co_await session.call<v1::ListReplicasResponse>(
                                "mayastor.v1.ReplicaRpc/ListReplicas", v1::ListReplicaOptions()));
  CO_TRY_SET(const auto pool_io, co_await session.call<v1::PoolIoStatsResponse>(
                                     "mayastor.v1.StatsRpc/GetPoolIoStats", ListStatsOption()));
  for (const auto& one : pool_io.stats()) seen.sample.pools[one.name()] = io_counters(one);
  CO_TRY_SET(const auto replica_io,
             co_await session.call<v1::ReplicaIoStatsResponse>(
                 "mayastor.v1.StatsRpc/GetReplicaIoStats", ListStatsOption()));
  for (const auto& one : replica_io.stats()) {
    seen.sample.replicas[one.stats().uuid()] = io_counters(one.stats());
  }
  co_return seen;
}

std::string fixed(double value, const char* unit = "") {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.1f%s", value, unit);
  return text.data();
}
std::string millis(double seconds) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f ms", seconds * 1e3);
  return text.data();
}
std::string bytes(const Printer& out, double value) {
  return out.size(static_cast<std::uint64_t>(value)) + "/s";
}

const std::vector<std::string_view>& io_columns() {
  static const std::vector<std::string_view> kColumns = {">READS/S",  ">READ",    ">LATENCY",
                                                         ">WRITES/S", ">WRITTEN", ">LATENCY"};
  return kColumns;
}

void add_io(const Printer& out, const IoRate& rate, std::vector<std::string>& cells) {
  for (auto& cell :
       {fixed(rate.reads), bytes(out, rate.bytes_read), millis(rate.read_seconds),
        fixed(rate.writes), bytes(out, rate.bytes_written), millis(rate.write_seconds)}) {
    cells.push_back(cell);
  }
}

Table io_table(std::vector<std::string_view> columns) {
  columns.insert(columns.end(), io_columns().begin(), io_columns().end());
  return Table(std::move(columns));
}

void print_page(Printer& out, const Look& before, const Look& now) {
  const double seconds = now.sample.at - before.sample.at;
  out.remark(now.version.node_name() + "  " + now.version.release() + "  up " +
             uptime_text(now.version.uptime_ms()) + "  measured over " + fixed(seconds, " s") +
             "\n");
  Table wires({"WIRE", ">CALLS/S", ">ERRORS/S", ">MEAN", ">IN FLIGHT"});
  for (const auto& rate : wire_rates(before.sample, now.sample)) {
    wires.add({rate.wire, fixed(rate.calls), fixed(rate.errors), millis(rate.mean_seconds),
               std::to_string(static_cast<std::uint64_t>(rate.in_flight))});
  }
  if (now.has_metrics) {
    out.table(wires, "calls");
  } else {
    out.remark("(This node serves no metrics here: for calls ask over gRPC, --bind http://…)");
  }
  out.remark("");
  Table pools = io_table({"POOL", "STATE", ">USED"});
  for (const auto& pool : now.pools.pools()) {
    std::vector<std::string> cells = {pool.name(), std::string(state_word(pool.state())),
                                      percent(pool.used(), pool.capacity())};
    add_io(out, io_rate(before.sample.pools, now.sample.pools, pool.name(), seconds), cells);
    pools.add(std::move(cells));
  }
  out.table(pools, "pools");
  out.remark("");
  Table replicas = io_table({"REPLICA", "POOL", ">SIZE"});
  for (const auto& replica : now.replicas.replicas()) {
    std::vector<std::string> cells = {replica.name(), replica.poolname(), out.size(replica.size())};
    add_io(out, io_rate(before.sample.replicas, now.sample.replicas, replica.uuid(), seconds),
           cells);
    replicas.add(std::move(cells));
  }
  out.table(replicas, "replicas");
}

std::string quoted(std::string_view text) {
  std::string out;
  rpc::append_json_string(text, out);
  return out;
}

std::string io_json(const IoRate& rate) {
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(),
                "\"reads_s\":%.3f,\"read_bytes_s\":%.1f,\"read_mean_s\":%.9f,"
                "\"writes_s\":%.3f,\"write_bytes_s\":%.1f,\"write_mean_s\":%.9f}",
                rate.reads, rate.bytes_read, rate.read_seconds, rate.writes, rate.bytes_written,
                rate.write_seconds);
  return text.data();
}

void print_json(Printer& out, const Look& before, const Look& now) {
  const double seconds = now.sample.at - before.sample.at;
  std::array<char, 256> text{};
  std::snprintf(text.data(), text.size(), ",\"seconds\":%.6f,\"wires\":[", seconds);
  std::string line = "{\"node\":" + quoted(now.version.node_name()) + text.data();
  const char* comma = "";
  for (const auto& rate : wire_rates(before.sample, now.sample)) {
    std::snprintf(text.data(), text.size(),
                  ",\"calls_s\":%.3f,\"errors_s\":%.3f,\"mean_s\":%.9f,\"in_flight\":%.0f}",
                  rate.calls, rate.errors, rate.mean_seconds, rate.in_flight);
    line += std::exchange(comma, ",") + ("{\"wire\":" + quoted(rate.wire)) + text.data();
  }
  line += "],\"pools\":[";
  comma = "";
  for (const auto& pool : now.pools.pools()) {
    line += std::exchange(comma, ",") + ("{\"name\":" + quoted(pool.name())) +
            ",\"used\":" + std::to_string(pool.used()) +
            ",\"capacity\":" + std::to_string(pool.capacity()) + "," +
            io_json(io_rate(before.sample.pools, now.sample.pools, pool.name(), seconds));
  }
  line += "],\"replicas\":[";
  comma = "";
  for (const auto& replica : now.replicas.replicas()) {
    line += std::exchange(comma, ",") + ("{\"name\":" + quoted(replica.name())) +
            ",\"uuid\":" + quoted(replica.uuid()) + ",\"pool\":" + quoted(replica.poolname()) +
            "," +
            io_json(io_rate(before.sample.replicas, now.sample.replicas, replica.uuid(), seconds));
  }
  out.line(line + "]}");
}

}  // namespace

Done top(Session& session, Arguments arguments) {
  CO_TRY_SET(const core::Nanos interval, Session::usage(interval_of(arguments)));
  Printer& out = session.out();
  const bool draws = core::stdout_terminal().is_terminal && !out.json() && !arguments.on("once");
  CO_TRY_SET(Look before, co_await look(session));
  while (true) {
    if (!co_await core::sleep_for(interval, session.token())) co_return Result<void>();
    auto now = co_await look(session);
    if (session.token().fired()) co_return Result<void>();  // interrupted: the usual end
    if (!now) co_return std::unexpected(std::move(now).error());
    if (out.json()) {
      print_json(out, before, *now);
    } else {
      constexpr char kHomeAndClear[] = "\x1b[H\x1b[2J";
      if (draws) out.raw(kHomeAndClear);
      print_page(out, before, *now);
    }
    CO_TRY(out.flush());
    if (arguments.on("once")) co_return Result<void>();
    if (!draws && !out.json()) out.line("");
    before = *std::move(now);
  }
}

}  // namespace capstan::apps
