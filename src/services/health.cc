// Why this file exists: see health.h.
#include "services/health.h"

#include <algorithm>

namespace capstan::services {

bool HealthService::known(std::string_view service) const {
  if (service.empty()) return true;
  return std::ranges::any_of(directory_.operations(), [&](const rpc::Operation* operation) {
    return operation->service() == service;
  });
}

HealthService::Response HealthService::answer(Engine::Phase phase) const {
  Response response;
  response.set_status(phase == Engine::Phase::kReady ? Response::SERVING : Response::NOT_SERVING);
  return response;
}

core::Task<Result<HealthService::Response>> HealthService::check(rpc::Call&,
                                                                 const Request& request) {
  if (!known(request.service())) {
    co_return fail(Code::kNotFound, "unknown service '" + request.service() +
                                        "'; list services by reflection, or ask for ''");
  }
  co_return answer(engine_.phase());
}

core::Task<Result<void>> HealthService::watch(rpc::Call& call, const Request& request,
                                              rpc::Sink<Response> sink) {
  const bool is_known = known(request.service());
  Response last;
  while (true) {
    const auto phase = engine_.phase();
    Response now = answer(phase);
    // What is served does not change while the node runs.
    if (!is_known) now.set_status(Response::SERVICE_UNKNOWN);
    if (now.status() != last.status()) CO_TRY(co_await sink.send(now));
    last = now;
    CO_TRY(co_await engine_.phase_changed_from(phase, call.token));
  }
}

Result<void> bind_health(rpc::Directory& directory, HealthService& service) {
  TRY(directory.declare(HealthService::Request::descriptor()->file()->FindServiceByName("Health")));
  TRY(rpc::bind_unary(directory, "grpc.health.v1.Health/Check", service, &HealthService::check));
  return rpc::bind_server_stream(directory, "grpc.health.v1.Health/Watch", service,
                                 &HealthService::watch);
}

}  // namespace capstan::services
