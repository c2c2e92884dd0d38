# SPDX-License-Identifier: MIT
# aistrace. `make help` lists what there is to make; V=1 shows the commands.

VERSION := 0.1.0
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
DESTDIR ?=
CC      ?= cc
# The playground's programs are built with tracing, except by `make node` and `make ais` without the tag.
TAGS    ?= $(if $(filter node ais,$(MAKECMDGOALS)),,oteltracing)
VARIANT ?= release
WERROR  ?= -Werror

Q := $(if $(V),,@)
# For targets that build a lot: a job for each processor, unless -j says how many.
JOBS = $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$(2)')

# Sanitizer variants keep their objects and binaries apart from the release build's.
SANITIZE_asan := -fsanitize=address -fno-omit-frame-pointer
# It does not know fences, and says so. What is read before one here is atomic, or another process's.
SANITIZE_tsan := -fsanitize=thread -Wno-tsan
SANITIZE_ubsan := -fsanitize=undefined -fno-sanitize-recover=all
# Inlined functions would be counted where they are inlined.
SANITIZE_coverage := --coverage -fprofile-update=atomic -O1 -fno-inline
SANITIZE_fuzz := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifeq ($(VARIANT),fuzz)
CC := clang
endif
ifeq ($(VARIANT),aarch64)
CC := aarch64-linux-gnu-gcc
SYSROOT := build/aarch64/sysroot# of test/aarch64
endif
SANITIZE := $(SANITIZE_$(VARIANT))
B := build$(if $(filter-out release,$(VARIANT)),/$(VARIANT))
O := $(B)/obj
GEN := build/gen

# Flags that not every compiler takes, or not for every processor.
takes = $(shell $(CC) $(WERROR) $(1) -fsyntax-only -x c /dev/null >/dev/null 2>&1 && echo $(1))
HARDEN := $(if $(SANITIZE),,-D_FORTIFY_SOURCE=3 -fstack-protector-strong -fstack-clash-protection $(call takes,-fcf-protection))
CFLAGS ?= -O2 -g
# Sanitizers hide from the compiler what it otherwise knows of lengths.
WARN_VARIANT := $(if $(SANITIZE),-Wno-format-truncation -Wno-stringop-overflow -Wno-maybe-uninitialized)
# gcc is the compiler whose warnings count.
WARN_VARIANT := $(if $(filter fuzz,$(VARIANT)),-Wno-everything,$(WARN_VARIANT))
WARN := -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla $(WARN_VARIANT) $(WERROR)
# -iquote: a room such as net/ must never hide a system header of angle brackets.
INCLUDE := -iquote daemon -iquote shmring -Iclient -I$(GEN) $(if $(SYSROOT),$(addprefix -isystem $(SYSROOT)/usr/include,/ /aarch64-linux-gnu))
BASE := -std=c17 -D_GNU_SOURCE -DAISTRACE_BUILD_VERSION='"$(VERSION)"' -fPIC -pthread -fvisibility=hidden \
        $(INCLUDE) $(WARN) $(CFLAGS) $(HARDEN) $(SANITIZE)
LINK := -pthread $(SANITIZE) $(if $(SANITIZE),,-pie -Wl,-z,relro,-z,now) $(LDFLAGS)

PKG_CONFIG ?= pkg-config
pkg = $(shell $(PKG_CONFIG) --libs $(1))
LIBS_DAEMON   = $(call pkg,libuv libnghttp2 libprotobuf-c jansson openssl zlib libseccomp) -lm
LIBS_CLI      = $(call pkg,libmicrohttpd libcurl) $(LIBS_DAEMON)
LIBS_NODE     = $(call pkg,libmicrohttpd libcurl jansson)
LIBS_AIS      = $(call pkg,libcurl jansson)
LIBS_CHECK    = $(call pkg,check)

# The rooms of daemon/, and of daemon/endpoint/: what they are for is in daemon/README.md.
ROOMS := base span batch grpc tls config net ring spool admin export source process
ENDPOINT_ROOMS := otlp store traces jaeger

objects = $(patsubst %.c,$(O)/%.o,$(wildcard $(1)))
SHMRING_O  := $(call objects,shmring/*.c)
# What only the consumer runs; the rest of the ring belongs to programs that are traced.
CONSUMER_O := $(call objects,$(addprefix shmring/,open.c reader.c drain.c guard.c dir_lock.c))
PRODUCER_O := $(filter-out $(CONSUMER_O),$(SHMRING_O))
CLIENT_O   := $(call objects,client/*.c)
# The same for the shared library, which exports the functions of aistrace.h; the archive's stay within what links it.
CLIENT_SHARED_O := $(CLIENT_O:$(O)/client/%=$(O)/client-shared/%)
DAEMON_O   := $(filter-out $(O)/daemon/aistraced.o,$(call objects,daemon/*.c $(ROOMS:%=daemon/%/*.c)))
CLI_O      := $(filter-out $(O)/daemon/cli/main.o,$(call objects,daemon/cli/*.c))
PAGE       := $(wildcard daemon/endpoint/page/*.html daemon/endpoint/page/*.css daemon/endpoint/page/*.js) \
              daemon/endpoint/page/icon.svg
ENDPOINT_O := $(call objects,daemon/endpoint/*.c $(ENDPOINT_ROOMS:%=daemon/endpoint/%/*.c)) $(O)/gen/page_files.o
NODE_C     := $(wildcard test/playground/node/*.c)
AIS_C      := $(wildcard test/playground/cli/*.c) test/playground/node/names.c test/playground/node/checksum.c
SUPPORT_O  := $(call objects,test/support/*.c)
CHECKS     := $(patsubst test/%.c,$(B)/test/%,$(wildcard test/unit/*/check_*.c))
FUZZERS    := $(patsubst test/fuzz/%.c,$(B)/test/%,$(wildcard test/fuzz/fuzz_*.c))
HELPERS    := $(patsubst test/helpers/%.c,$(B)/test/%,$(wildcard test/helpers/*.c))

PROTOS  := $(shell find proto -name '*.proto')
PROTO_C := $(patsubst proto/%.proto,$(GEN)/%.pb-c.c,$(PROTOS))
PROTO_O := $(patsubst $(GEN)/%.c,$(O)/gen/%.o,$(PROTO_C))

ifeq ($(VARIANT),aarch64)
# Few of the libraries are there to link with: the tests of client/ and shmring/ do without them.
CHECKS := $(filter $(B)/test/unit/client/% $(B)/test/unit/shmring/%,$(CHECKS))
CHECK_NEEDS := libsupport.a libdaemon.a
CHECK_LINKS := -L$(SYSROOT)/usr/lib/aarch64-linux-gnu $(patsubst %,-l:lib%.a,check subunit seccomp) -lm
else
CHECK_NEEDS := libsupport.a libcli.a libendpoint.a libdaemon.a
CHECK_LINKS = $(LIBS_CHECK) $(LIBS_CLI)
endif

TRACED := $(filter oteltracing,$(TAGS))
NODE_VARIANT := $(if $(TRACED),node-traced,node-plain)
# Without the tag not even a debugging symbol may speak of tracing.
NODE_FLAGS := $(if $(TRACED),,-DAISTRACE_DISABLED -g0)
NODE_O := $(patsubst test/playground/node/%.c,$(O)/$(NODE_VARIANT)/%.o,$(NODE_C))
AIS_VARIANT := $(if $(TRACED),ais-traced,ais-plain)
AIS_O := $(patsubst test/playground/%.c,$(O)/$(AIS_VARIANT)/%.o,$(AIS_C))

BIN := $(B)/bin
LIB := $(B)/lib
CLIENT := $(LIB)/libaistrace.a $(LIB)/libaistrace.so
INSTALLED := $(CLIENT) $(BIN)/aistraced $(BIN)/aistrace
# For programs that read rings as well as write them.
CLIENT_AND_READER := $(LIB)/libaistrace.a $(LIB)/libshmring.a

.PHONY: all client help deps deps-test node ais deploy kill clean test test-quick asan tsan ubsan lint coverage mutants install \
        install-client FORCE
all: $(LIB)/libshmring.a $(INSTALLED) node ais ## libraries and programs, into build/; installs nothing
client: $(CLIENT) ## the client library alone, into build/lib/: needs a C compiler and no other library

help:
	@sed -n 's/^\([a-z0-9 -]*\):.*## /\1|/p' Makefile | awk -F'|' '{ printf "  make %-16s %s\n", $$1, $$2 }'

# ---- libraries and programs

$(LIB)/libshmring.a: $(SHMRING_O)
$(LIB)/libaistrace.a: $(CLIENT_O) $(PRODUCER_O)
$(LIB)/libdaemon.a: $(DAEMON_O) $(PROTO_O)
$(LIB)/libendpoint.a: $(ENDPOINT_O)
$(LIB)/libcli.a: $(CLI_O)
$(LIB)/libsupport.a: $(SUPPORT_O)
$(LIB)/%.a:
	$(call say,AR,$@)
	$(Q)mkdir -p $(@D) && rm -f $@ && ar rcs $@ $(filter %.o,$^)

$(LIB)/libaistrace.so: $(CLIENT_SHARED_O) $(PRODUCER_O) client/libaistrace.map
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -shared -Wl,-soname,libaistrace.so.0 -Wl,-z,nodelete -Wl,--version-script=client/libaistrace.map \
	    $(filter-out -pie,$(LINK)) -o $@.0 $(filter %.o,$^) && ln -sf libaistrace.so.0 $@

define link
	$(call say,LD,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(LINK) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(1)
endef

$(BIN)/aistraced: $(O)/daemon/aistraced.o $(LIB)/libdaemon.a $(LIB)/libshmring.a
	$(call link,$(LIBS_DAEMON))
$(BIN)/aistrace: $(O)/daemon/cli/main.o $(LIB)/libcli.a $(LIB)/libendpoint.a $(LIB)/libdaemon.a $(CLIENT_AND_READER)
	$(call link,$(LIBS_CLI))

node: $(O)/$(NODE_VARIANT)/aisnode ## the playground's node; TAGS=oteltracing: with tracing
	$(Q)mkdir -p $(BIN) && cmp -s $< $(BIN)/aisnode || install -m 755 $< $(BIN)/aisnode
$(O)/node-traced/aisnode: $(NODE_O) $(LIB)/libaistrace.a
	$(call link,$(LIBS_NODE))
$(O)/node-plain/aisnode: $(NODE_O)
	$(call link,$(LIBS_NODE))
$(O)/$(NODE_VARIANT)/%.o: test/playground/node/%.c
	$(call say,CC,$< ($(NODE_VARIANT)))
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(NODE_FLAGS) -MMD -MP -c -o $@ $<

ais: $(O)/$(AIS_VARIANT)/ais ## the playground's command line; TAGS=oteltracing: with tracing
	$(Q)mkdir -p $(BIN) && cmp -s $< $(BIN)/ais || install -m 755 $< $(BIN)/ais
$(O)/ais-traced/ais: $(AIS_O) $(LIB)/libaistrace.a
	$(call link,$(LIBS_AIS))
$(O)/ais-plain/ais: $(AIS_O)
	$(call link,$(LIBS_AIS))
$(O)/$(AIS_VARIANT)/%.o: test/playground/%.c
	$(call say,CC,$< ($(AIS_VARIANT)))
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(NODE_FLAGS) -MMD -MP -c -o $@ $<

# The library must load by dlopen into a process whose static TLS is nearly used up, so its few bytes are initial-exec.
$(CLIENT_O) $(CLIENT_SHARED_O) $(SHMRING_O): MODULE_FLAGS = -ftls-model=initial-exec $(VISIBILITY)
$(CLIENT_O): VISIBILITY := -DAISTRACE_STATIC
$(O)/client-shared/%.o: client/%.c
	$(call say,CC,$< (shared))
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(MODULE_FLAGS) -MMD -MP -c -o $@ $<
$(O)/%.o: %.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(BASE) $(MODULE_FLAGS) -MMD -MP -c -o $@ $<

$(GEN)/%.pb-c.c $(GEN)/%.pb-c.h &: proto/%.proto
	$(call say,PROTO,$<)
	$(Q)mkdir -p $(GEN) && protoc-c --proto_path=proto --c_out=$(GEN) $<
$(GEN)/page_files.c: daemon/endpoint/page/embed $(PAGE)
	$(call say,PAGE,daemon/endpoint/page)
	$(Q)mkdir -p $(GEN) && $< $(PAGE) >$@.new && mv $@.new $@
$(O)/gen/%.o: $(GEN)/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D) && $(CC) $(filter-out $(WARN),$(BASE)) -MMD -MP -c -o $@ $<
$(DAEMON_O) $(ENDPOINT_O) $(CLI_O) $(O)/daemon/cli/main.o $(PROTO_O) $(call objects,test/*/*.c test/unit/*/*.c): | $(PROTO_C)

# ---- tests

$(O)/test/%.o: MODULE_FLAGS := -iquote test
$(B)/test/unit/%: $(O)/test/unit/%.o $(addprefix $(LIB)/,$(CHECK_NEEDS)) $(CLIENT_AND_READER)
	$(call link,$(CHECK_LINKS))
$(B)/test/%: $(O)/test/helpers/%.o $(LIB)/libsupport.a $(LIB)/libdaemon.a $(CLIENT_AND_READER)
	$(call link,$(LIBS_DAEMON))
$(B)/test/fuzz_%: LINK += -fsanitize=fuzzer
$(B)/test/fuzz_%: $(O)/test/fuzz/fuzz_%.o $(LIB)/libcli.a $(LIB)/libendpoint.a $(LIB)/libdaemon.a $(CLIENT_AND_READER)
	$(call link,$(LIBS_DAEMON))
# The daemon with allocations that fail (test/faults/failing_alloc.c): those of its own code.
FAILING_CALLS := malloc calloc realloc aligned_alloc strdup strndup asprintf __asprintf_chk
$(B)/test/aistraced_failing: LINK += $(FAILING_CALLS:%=-Wl,--wrap=%)
$(B)/test/aistraced_failing: $(O)/daemon/aistraced.o $(O)/test/faults/failing_alloc.o $(LIB)/libdaemon.a $(LIB)/libshmring.a
	$(call link,$(LIBS_DAEMON))
$(B)/test/wrap_producer: LINK += -Wl,--wrap=shmring_create,--wrap=shmring_slot_publish
.SECONDARY:

.PHONY: checks unit-checks objects test-aarch64 tests-built fuzz fuzzers faults faults-full faults-built
unit-checks: $(CHECKS)
objects: $(CLIENT_O) $(SHMRING_O) $(DAEMON_O) $(ENDPOINT_O) $(CLI_O) $(addprefix $(O)/daemon/,aistraced.o cli/main.o) # not linked
checks: unit-checks $(HELPERS) bench-own
tests-built: all checks
fuzzers: $(FUZZERS) # with VARIANT=fuzz

deps: ## installs what building and running needs (Debian packages)
	$(Q)test/playground/deploy/deps run
deps-test: ## installs what the tests need as well
	$(Q)test/playground/deploy/deps test

test: ## the whole test suite
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)$(MAKE) --no-print-directory $(JOBS) TAGS=oteltracing tests-built
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=fuzz fuzzers
	$(Q)test/run all
test-quick: ## the unit tests: under a minute
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)$(MAKE) --no-print-directory $(JOBS) TAGS=oteltracing tests-built
	$(Q)test/run quick
asan tsan ubsan: ## the unit tests under a sanitizer
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=$@ TAGS=oteltracing tests-built
	$(Q)VARIANT=$@ test/run quick

test-aarch64: ## builds for ARM; the tests of client/ and shmring/ by qemu-user: a quarter of an hour
	$(Q)test/playground/deploy/deps aarch64 || echo "test-aarch64: goes on with what is there"
	$(Q)test/aarch64

fuzz: ## looks for inputs that break the parsers: FUZZ_SECONDS (60) for each; corpora stay in build/fuzz/
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=fuzz fuzzers
	$(Q)test/fuzz/run $(or $(FUZZ_SECONDS),60)

faults: ## the faults of the list, each with its promise: a table, and build/faults.json; under 20 minutes
	$(Q)$(MAKE) --no-print-directory faults-built
	$(Q)test/faults/run
faults-full: ## the longer variants of the faults
	$(Q)$(MAKE) --no-print-directory faults-built
	$(Q)test/faults/run --full
faults-built:
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)$(MAKE) --no-print-directory $(JOBS) TAGS=oteltracing tests-built build/test/aistraced_failing
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=asan build/asan/test/aistraced_failing

# Rooms, and one file, of whose branches that many per cent must have run.
COVERED := 85 ring span/record_decode batch source spool
coverage: ## the share of lines and branches that all tests run, by room; a quarter of an hour
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)$(MAKE) --no-print-directory $(JOBS) VARIANT=coverage TAGS=oteltracing tests-built
	$(Q)find build/coverage -name '*.gcda' -delete
	$(Q)VARIANT=coverage test/run all; ran=$$?; test/coverage --least $(COVERED) && exit $$ran
mutants: ## breaks the code where a test once did not notice, and wants one to; a quarter of an hour
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)test/mutants/run

lint: ## clang-tidy, cppcheck and the include rules
	$(Q)$(MAKE) --no-print-directory deps-test
	$(Q)test/lint

# ---- benchmarks

# Peers are built where Debian's packages for them are; test/bench/run says which are not there.
BENCH_PARTS := bench sink_session lttng_span lttng_provider
there = $(shell { $(1); } >/dev/null 2>&1 && echo yes)
BENCH_PEERS := $(if $(call there,$(PKG_CONFIG) --exists lttng-ust),lttng_span) \
               $(if $(call there,$(PKG_CONFIG) --exists grpc++ && command -v grpc_cpp_plugin && command -v g++),grpc_client)
BENCH := $(filter-out $(BENCH_PARTS),$(patsubst test/bench/%.c,%,$(wildcard test/bench/*.c)))
BENCH_LIBS := $(addprefix $(O)/test/,bench/bench.o support/directory.o support/span_model.o support/span_set.o) $(LIB)/libdaemon.a \
              $(CLIENT_AND_READER)
GEN_CXX := build/gen/cxx
OTLP_PROTOS := $(filter proto/opentelemetry/%,$(PROTOS))

$(B)/bench/%: $(O)/test/bench/%.o $(BENCH_LIBS)
	$(call link,$(LIBS_DAEMON))
$(B)/bench/sink: $(O)/test/bench/sink.o $(O)/test/bench/sink_session.o $(BENCH_LIBS)
	$(call link,$(LIBS_DAEMON) $(call pkg,openssl))
$(B)/bench/lttng_span: $(O)/test/bench/lttng_span.o $(O)/test/bench/lttng_provider.o $(BENCH_LIBS)
	$(call link,$(call pkg,lttng-ust) -ldl)
$(O)/test/bench/lttng_%.o: MODULE_FLAGS := -iquote test -Itest/bench
$(B)/bench/grpc_client: test/bench/grpc_client.cc $(OTLP_PROTOS)
	$(call say,CXX,$<)
	$(Q)mkdir -p $(GEN_CXX) $(@D)
	$(Q)protoc --proto_path=proto --cpp_out=$(GEN_CXX) --grpc_out=$(GEN_CXX) \
	    --plugin=protoc-gen-grpc=$$(command -v grpc_cpp_plugin) $(OTLP_PROTOS)
	$(Q)g++ -std=c++17 -O2 -I$(GEN_CXX) -o $@ $< $(patsubst proto/%.proto,$(GEN_CXX)/%.pb.cc,$(OTLP_PROTOS)) \
	    $(GEN_CXX)/opentelemetry/proto/collector/trace/v1/trace_service.grpc.pb.cc $(call pkg,grpc++ protobuf)

.PHONY: bench bench-quick bench-ready bench-built bench-own
# The benchmarks that need no package besides those of the tests: `make test` builds them, so that they go on building.
bench-own: $(patsubst %,$(B)/bench/%,$(BENCH))
bench-ready:
	$(Q)test/playground/deploy/deps bench
	$(Q)test/playground/deploy/deps peers || echo "bench: goes on without the peers that could not be installed"
	$(Q)$(MAKE) --no-print-directory $(JOBS) bench-built
bench-built: $(BIN)/aistraced $(patsubst %,$(B)/bench/%,$(BENCH) $(BENCH_PEERS))
bench: ## measures every figure beside its floor and its peers: a table, and build/bench.json
	$(Q)$(MAKE) --no-print-directory bench-ready
	$(Q)test/bench/run
bench-quick: ## the same with fewer repetitions, within 5 minutes
	$(Q)$(MAKE) --no-print-directory bench-ready
	$(Q)test/bench/run --quick

# ---- playground

deploy: ## builds and starts the playground: proxies, targets, sidecars, and an endpoint to look at the traces
	$(Q)$(MAKE) --no-print-directory deps </dev/null
	$(Q)$(MAKE) --no-print-directory $(JOBS) TAGS=oteltracing all </dev/null
	$(Q)test/playground/deploy/deploy
kill: ## stops the playground
	$(Q)test/playground/deploy/kill
clean: kill ## stops the playground, removes its state and build/
	$(Q)test/playground/deploy/clean
	$(Q)rm -rf build

install: $(INSTALLED) install-client ## programs and client library; DESTDIR and PREFIX as usual
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(BIN)/aistraced $(BIN)/aistrace $(DESTDIR)$(PREFIX)/bin/

install-client: $(CLIENT) ## the client library and its headers
	install -d $(DESTDIR)$(PREFIX)/include $(DESTDIR)$(LIBDIR)
	install -m 644 client/aistrace.h client/aistrace_inline.h client/aistrace_disabled.h $(DESTDIR)$(PREFIX)/include/
	install -m 644 $(LIB)/libaistrace.a $(DESTDIR)$(LIBDIR)/
	install -m 755 $(LIB)/libaistrace.so.0 $(DESTDIR)$(LIBDIR)/
	ln -sf libaistrace.so.0 $(DESTDIR)$(LIBDIR)/libaistrace.so
	$(if $(DESTDIR),,-[ "$$(id -u)" -ne 0 ] || ldconfig)

-include $(shell find $(O) -name '*.d' 2>/dev/null)
