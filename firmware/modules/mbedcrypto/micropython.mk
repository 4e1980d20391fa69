# For ports that build with make. mbedTLS, its headers and its configuration are the port's own.
SRC_USERMOD_C += $(addprefix $(USERMOD_DIR)/,dummies.c frames.c modmbedcrypto.c pages.c)

# Beside the object: a call graph (.ci), which tools/build/c_stack.py reads.
$(BUILD)/mbedcrypto/%.o: CFLAGS += -fcallgraph-info=su
