// Why this file exists: the engine configuration file (-y) with all sections and keys of
// io-engine-behaviour section 2.1, declared once in a table. Most keys belong to parts that do not
// exist here or are tuned differently; they are still checked, kept and exported unchanged, so that
// a file written for Mayastor works and comes back whole. A key nobody declared is an error.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "apps/serving/options.h"
#include "base/result.h"

namespace capstan::apps {

class EngineConfig {
 public:
  struct Value {
    std::string text;  // as in the file; "null" when not set; "[0, 0, 0]" for lists
    Source source = Source::kDefault;
  };

  // Defaults overridden by the environment. A variable that cannot be read as its key's type is
  // reported in warnings() and ignored.
  explicit EngineConfig(const Variables& variables);

  // Reads a file's text over the defaults; nothing changes when it fails.
  Result<void> load(const std::string& text, const std::string& file);
  // The configuration in the file's own form.
  std::string yaml() const;

  // `path` is "nexus_opts.nvmf_nexus_port"; an undeclared one aborts.
  const Value& at(std::string_view path) const;
  bool is_null(std::string_view path) const { return at(path).text == "null"; }
  void set(std::string_view path, std::string text, Source source);

  // All paths in the order of the file, with the key's help text for GetConfig.
  struct Listed {
    std::string path;
    const Value* value;
  };
  std::vector<Listed> list() const;
  const std::vector<std::string>& warnings() const { return warnings_; }

 private:
  std::vector<std::string> order_;
  std::map<std::string, Value, std::less<>> values_;
  std::vector<std::string> warnings_;
};

}  // namespace capstan::apps
