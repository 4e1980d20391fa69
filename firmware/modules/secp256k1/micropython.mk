# For ports that build with make: `make USER_C_MODULES=…/firmware/modules SECP256K1_DIR=… BUILD=…`.

ifeq ($(wildcard $(SECP256K1_DIR)/src/secp256k1.c),)
$(error SECP256K1_DIR must name the source tree of libsecp256k1 (it is "$(SECP256K1_DIR)"))
endif

SRC_USERMOD_C += $(USERMOD_DIR)/modsecp256k1.c
SRC_USERMOD_LIB_C += $(USERMOD_DIR)/library.c

CFLAGS_USERMOD += -I$(SECP256K1_DIR)/include
CFLAGS_USERMOD += -DLIBSECP256K1_VERSION=$(shell sed -n 's/^  VERSION //p' $(SECP256K1_DIR)/CMakeLists.txt)

# What prepared_key_impl.h includes.
GENERATOR_TABLE := $(BUILD)/secp256k1/generator_table.h
$(GENERATOR_TABLE): $(USERMOD_DIR)/generator_table.py
	mkdir -p $(dir $@)
	$(PYTHON) $< >$@.new && mv $@.new $@
$(BUILD)/secp256k1/library.o: $(GENERATOR_TABLE)
$(BUILD)/secp256k1/library.o: CFLAGS += -I$(BUILD)/secp256k1

# As on boards: a field of our own over eight words, and the scalars that go with it. The library's own would be faster
# here, and tests of this binary would say less about a board.
$(BUILD)/secp256k1/%.o: CFLAGS += -DTESSERA_FIELD_PORTABLE -DUSE_FORCE_WIDEMUL_INT64

# Optimised for speed where the port is for size. Beside the objects: call graphs (.ci), which tools/build/c_stack.py reads.
$(BUILD)/secp256k1/library.o: CFLAGS += -I$(SECP256K1_DIR) -O2
$(BUILD)/secp256k1/%.o: CFLAGS += -fcallgraph-info=su
