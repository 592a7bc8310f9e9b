// Why this file exists: what a thousand replicas cost: creating, listing and destroying them, their
// memory while nobody uses them, and importing their pool after a clean export and after a kill;
// and the import of a sparse pool of 10 TiB that was not exported, where all metadata is scanned.
#include <malloc.h>

#include <cstdio>

#include "bench/pool_bench.h"

namespace capstan::bench {
namespace {

constexpr int kReplicas = 1000;
constexpr std::uint64_t kReplicaBytes = kGiB;

struct Row {
  const char* what;
  double value, target;  // target 0: none
  const char* unit;
};

bool print(const Row& row) {
  const bool good = row.target == 0 || row.value <= row.target;
  if (row.target == 0)
    std::printf("| %s | %.3g %s | |\n", row.what, row.value, row.unit);
  else
    std::printf("| %s | %.3g %s | %.3g %s%s |\n", row.what, row.value, row.unit, row.target,
                row.unit, good ? "" : ", missed");
  std::fflush(stdout);
  return good;
}

core::Task<void> timed(core::Task<void> task, double* seconds) {
  const double start = seconds_now();
  co_await std::move(task);
  *seconds = seconds_now() - start;
}

core::Task<void> create_all(BenchPool* pool) {
  for (int i = 0; i < kReplicas; ++i)
    co_await pool->add("replica-" + std::to_string(i), kReplicaBytes, true);
}

// What ListReplicas asks of each.
core::Task<void> list_all(BenchPool* pool) {
  std::uint64_t sum = 0;
  for (const auto& replica : (**pool).replicas()) {
    sum += replica->usage().allocated_bytes + replica->name().size();
    sum += replica->attribute("entity_id").value_or("").size() + replica->is_clone();
  }
  if (sum == 0) give_up("the list is empty");
  co_return;
}

core::Task<void> write_each(BenchPool* pool) {
  const std::vector<std::uint8_t> block(4096, 7);
  for (const auto& replica : (**pool).replicas()) must(co_await replica->write(0, block));
}

core::Task<void> destroy_all(BenchPool* pool) {
  for (const auto& replica : (**pool).replicas())
    must(co_await (**pool).destroy_replica(replica->uuid()));
}

void expect_all(BenchPool& pool, std::size_t count) {
  if (pool->replicas().size() != count || !pool->faulted().empty())
    give_up("replicas are missing after an import");
}

// Bytes of the heap for each of the replicas of a pool that is loaded while nothing else happens.
core::Task<void> import_measured(BenchPool* pool, double* seconds, double* bytes) {
  const auto before = ::mallinfo2();
  co_await timed(pool->import(), seconds);
  const auto after = ::mallinfo2();
  expect_all(*pool, kReplicas);
  *bytes = static_cast<double>(after.uordblks + after.hblkhd - before.uordblks - before.hblkhd) /
           kReplicas;
}

core::Task<bool> thousand(core::UringEnv* env, std::string path) {
  BenchPool pool(*env, std::move(path), 64 * kGiB);
  co_await pool.create();
  double create = 0, list = 0, destroy = 0, clean = 0, dirty = 0, idle = 0, mapped = 0;
  co_await timed(create_all(&pool), &create);
  co_await timed(list_all(&pool), &list);
  co_await pool.unload();
  co_await import_measured(&pool, &clean, &idle);
  co_await write_each(&pool);
  pool.drop();
  co_await import_measured(&pool, &dirty, &mapped);
  double again = 0;
  co_await pool.unload();
  co_await import_measured(&pool, &again, &mapped);
  co_await timed(destroy_all(&pool), &destroy);
  expect_all(pool, 0);
  bool good = true;
  const Row rows[] = {
      {"create 1000 thin replicas", create, 0, "s"},
      {"list them", list, 0, "s"},
      {"clean import, nothing allocated", clean, 0.3, "s"},
      {"clean import, a cluster in each", again, 0.3, "s"},
      {"dirty import, a cluster in each", dirty, 1, "s"},
      {"destroy them", destroy, 0, "s"},
      {"memory of an idle replica of 1 GiB, nothing allocated", idle, 2048, "B"},
      {"the same with a cluster and so a map of 1 KiB", mapped, 2048 + 1024, "B"},
  };
  for (const Row& row : rows) good = print(row) && good;
  co_return good;
}

core::Task<bool> large(core::UringEnv* env, std::string path) {
  BenchPool pool(*env, std::move(path), 10 * kTiB);
  co_await pool.create();
  (void)co_await pool.add("one", kTiB, true);
  co_await write_each(&pool);
  pool.drop();
  double dirty = 0, clean = 0;
  co_await timed(pool.import(), &dirty);
  expect_all(pool, 1);
  co_await write_each(&pool);
  co_await pool.unload();
  co_await timed(pool.import(), &clean);
  bool good = print({"dirty import of a sparse pool of 10 TiB", dirty, 2, "s"});
  good = print({"clean import of it", clean, 0.3, "s"}) && good;
  co_return good;
}

core::Task<void> both(core::UringEnv* env, std::string folder, bool* good) {
  const bool many = co_await thousand(env, folder + "/pool_bench_1000.img");
  *good = co_await large(env, folder + "/pool_bench_10t.img") && many;
}

}  // namespace

bool bench_pool_management(core::UringEnv& env, const PoolBenchOptions& options) {
  std::printf("\n| what | measured | target |\n|---|---|---|\n");
  bool good = true;
  env.run(both(&env, options.folder, &good));
  return good;
}

}  // namespace capstan::bench
