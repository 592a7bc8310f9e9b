// Why this file exists: names that SPDK takes for a subsystem or a host, and those it refuses, at
// each of the rules.
#include "services/nqn.h"

#include <gtest/gtest.h>

#include <string>

namespace capstan::services {
namespace {

TEST(Nqn, WellFormed) {
  const std::string label(63, 'a'), name(223 - 17, 'x');
  for (const std::string& good :
       {std::string("nqn.2019-05.io.openebs:x"),
        std::string("nqn.2019-05.io:\xC3\xA4 \xE2\x82\xAC"),
        std::string("nqn.2014-08.org.nvmexpress.discovery"),
        std::string("nqn.2014-08.org.nvmexpress:uuid:11111111-2222-3333-4444-555555555555"),
        "nqn.2019-05." + label + ".b2-c:x", "nqn.2019-05.io.a:" + name}) {
    EXPECT_TRUE(well_formed_nqn(good)) << good;
  }
}

TEST(Nqn, Malformed) {
  const std::string label(64, 'a'), name(224 - 17, 'x');
  for (const std::string& bad :
       {std::string(), std::string("nqn."), std::string("nqn.2019-05.io"),
        std::string("nqn.2019-05.io:"), std::string("nqn.2019-5.io:x"),
        std::string("nqn.20a9-05.io:x"), std::string("nqm.2019-05.io:x"),
        std::string("nqn.2019-05:io.x"), std::string("nqn.2019-05.:x"),
        std::string("nqn.2019-05..io:x"), std::string("nqn.2019-05.io.:x"),
        std::string("nqn.2019-05.1o:x"), std::string("nqn.2019-05.io-:x"),
        std::string("nqn.2019-05.i_o:x"), std::string("nqn.2019-05.io:\xFF"),
        std::string("nqn.2014-08.org.nvmexpress:uuid:111"),
        std::string("nqn.2014-08.org.nvmexpress:uuid:11111111x2222-3333-4444-555555555555"),
        "nqn.2019-05." + label + ":x", "nqn.2019-05.io.a:" + name}) {
    EXPECT_FALSE(well_formed_nqn(bad)) << bad;
  }
}

}  // namespace
}  // namespace capstan::services
