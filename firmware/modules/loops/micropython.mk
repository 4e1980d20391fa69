# For ports that build with make.
SRC_USERMOD_C += $(USERMOD_DIR)/modloops.c
