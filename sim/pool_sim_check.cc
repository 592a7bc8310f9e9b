// Why this file exists: what must be true of the pool simulation's disk and pool: the raw image by
// the independent reader, existence, attributes and content by the models, and the pool's own
// accounting against what the image shows.
#include <algorithm>

#include "core/buffer.h"
#include "sim/pool_sim.h"

namespace capstan::sim {

namespace {

std::string without_nuls(std::string text) {
  while (!text.empty() && text.back() == '\0') text.pop_back();
  return text;
}

}  // namespace

LvsImage PoolSim::read_image() const {
  return read_lvs([this](std::uint64_t at, MutableBytes into) { disk_->peek(at, into); },
                  disk_->size());
}

LvsImage PoolSim::check_image(bool after_cut) {
  if (!pool_acknowledged_) return {};
  auto image = read_image();
  const std::string when = after_cut ? "image after the cut: " : "image: ";
  if (image.state == LvsImage::State::kAbsent) {
    fail(when + "there is no pool");
    return image;
  }
  for (const auto& problem : image.problems) fail(when + problem);
  if (clean_expected_ && image.state != LvsImage::State::kClean) {
    fail(when + "an unloaded pool is not clean");
  }
  for (const auto& model : models_) {
    const auto* blob = image.find(model->uuid.text());
    if (model->stage == Stage::kLive && !model->tentative && !blob)
      fail(when + model->name + " is missing");
    if (model->stage == Stage::kGone && blob) fail(when + model->name + " is back");
  }
  return image;
}

// After every start: lists first, then every byte of every replica.
core::Task<void> PoolSim::check_survivors() {
  check_existence();
  if (stopped()) co_return;
  check_accounting(read_image());
  const auto models = models_;
  for (const auto& model : models) {
    if (stopped()) co_return;
    if (model->stage == Stage::kLive) co_await check_content(model, !after_kill_);
  }
  if (!stopped()) checked_ = true;
}

void PoolSim::check_existence() {
  for (const auto& volume : pool_->faulted()) {
    fail("volume '" + volume.name + "' is faulted: " + volume.reason);
  }
  std::erase_if(models_, [](const auto& model) { return model->stage == Stage::kGone; });
  for (const auto& model : models_) {
    model->busy.clear();
    model->managing = false;
    const auto replica = pool_->find(model->uuid);
    decide_existence(*model, replica != nullptr);
    if (!replica) continue;
    const bool size = std::ranges::find(model->sizes, replica->size_bytes()) != model->sizes.end();
    if (!after_kill_ && size) decide_size(*model, replica->size_bytes());
    if (replica->name() != model->name || !size || replica->thin() != model->thin) {
      fail(model->name + " came back with another name, size or kind");
    }
    check_attributes(*model, *replica);
  }
  for (const auto& replica : pool_->replicas()) {
    const bool known = std::any_of(models_.begin(), models_.end(), [&](const auto& model) {
      return model->stage == Stage::kLive && model->uuid == replica->uuid();
    });
    if (!known) fail("replica '" + replica->name() + "' was destroyed and is back");
  }
}

// Unacknowledged creations and destructions are decided after a power cut; after a kill what is
// seen may still be taken back by one.
void PoolSim::decide_existence(Model& model, bool exists) {
  if (model.stage == Stage::kLive && !exists && !(model.tentative && !after_kill_)) {
    fail(model.name + " was acknowledged and is gone");
  }
  if (!exists) {
    const bool may_return = model.stage == Stage::kDestroying && after_kill_;
    if (!may_return) model.stage = Stage::kGone;
    return;
  }
  model.tentative = after_kill_ && (model.tentative || model.stage == Stage::kCreating);
  model.stage = Stage::kLive;
}

void PoolSim::check_attributes(Model& model, const storage::Replica& replica) {
  const auto stored = replica.attributes();
  for (auto& [key, values] : model.attributes) {
    const auto found = stored.find(key);
    const auto value = found == stored.end() ? std::string() : without_nuls(found->second);
    if (std::find(values.begin(), values.end(), value) == values.end()) {
      fail("attribute " + key + " of " + model.name + " is '" + value.substr(0, 20) +
           "', acknowledged was '" + values.front().substr(0, 20) + "'");
    }
    if (!after_kill_) values = {value};
  }
}

void PoolSim::check_accounting(const LvsImage& image) {
  const auto info = pool_->info();
  const auto expect = [this](std::uint64_t got, std::uint64_t want, const std::string& what) {
    if (got != want) {
      fail(what + ": the pool says " + std::to_string(got) + ", the image " + std::to_string(want));
    }
  };
  if (info.capacity_bytes < capacity_bytes_) fail("the pool's growth was acknowledged and is gone");
  expect(info.cluster_size_bytes, image.cluster_size, "cluster size");
  expect(info.capacity_bytes, (image.total_clusters - image.md_clusters) * image.cluster_size,
         "capacity");
  expect(info.used_bytes, image.used_clusters * image.cluster_size, "used bytes");
  expect(info.md_pages, image.md_len, "metadata pages");
  // Shadows that a cut left behind are taken until the pool's first change clears them.
  if (info.md_used_pages < image.used_pages ||
      info.md_used_pages > image.used_pages + image.shadow_pages) {
    expect(info.md_used_pages, image.used_pages, "used metadata pages");
  }
  for (const auto& replica : pool_->replicas()) {
    if (const auto* blob = image.find(replica->uuid().text())) {
      expect(replica->usage().num_allocated_clusters, blob->allocated(),
             "allocated clusters of " + replica->name());
    }
  }
}

core::Task<void> PoolSim::check_content(std::shared_ptr<Model> model, bool survivors) {
  const auto replica = pool_->find(model->uuid);
  if (!replica) co_return;
  constexpr std::uint64_t kPiece = 1U << 20;
  if (content_.size() == 0) content_ = core::Buffer(kPiece);
  for (std::uint64_t at = 0; at < model->size_bytes; at += kPiece) {
    const auto part = content_.bytes().first(std::min(kPiece, model->size_bytes - at));
    const auto result = co_await replica->read(at, part);
    if (stopped()) co_return;
    if (!result && latent_) {
      co_await check_around_bad_sectors(model, at, part.size());
      continue;
    }
    if (!result) {
      if (!faulty_) fail("read of " + model->name + ": " + result.error().text());
      co_return;
    }
    std::string wrong;
    if (!survivors) wrong = model->oracle.check(at / kSector, part);
    for (std::uint64_t i = 0; survivors && wrong.empty() && i < part.size() / kSector; ++i) {
      wrong = model->oracle.check_survivor(at / kSector + i, part.subspan(i * kSector, kSector));
    }
    if (!wrong.empty()) {
      fail((survivors ? "after the start: " : "at the end: ") + wrong + " (" + model->name + ")");
      co_return;
    }
  }
}

// What lies between sectors that cannot be read.
core::Task<void> PoolSim::check_around_bad_sectors(std::shared_ptr<Model> model, std::uint64_t at,
                                                   std::uint64_t length) {
  const auto replica = pool_->find(model->uuid);
  core::Buffer buffer(4096);
  for (const std::uint64_t end = at + length; at < end; at += buffer.size()) {
    const auto result = co_await replica->read(at, buffer.bytes());
    if (stopped()) co_return;
    if (!result) {
      ++result_.unreadable;
      if (result.error().sys_errno != EIO) fail("read: " + result.error().text());
      continue;
    }
    const std::string wrong = model->oracle.check(at / kSector, buffer.view());
    if (!wrong.empty()) fail("beside a bad sector: " + wrong + " (" + model->name + ")");
  }
}

}  // namespace capstan::sim
