// The one place where Boost.JSON is compiled into the tests of this module.
#include <boost/json/src.hpp>
