// lwIP's pools for 8 connections (4 sessions, 4 strangers), each with all its buffers full: 50 KiB of RAM.
// The defaults (lwipopts_common.h: 8000 bytes of heap for 6400 bytes of send buffer a connection) run dry as soon as one
// connection sends in bulk, and PPP then drops packets or the socket says ENOMEM.
#define MEMP_NUM_TCP_PCB        (8)
#define TCP_MSS                 (800)
#define TCP_WND                 (4 * TCP_MSS)
#define TCP_SND_BUF             (4 * TCP_MSS)
#define TCP_SND_QUEUELEN        (16)
#define MEMP_NUM_TCP_SEG        (MEMP_NUM_TCP_PCB * TCP_SND_QUEUELEN)
#define PBUF_POOL_SIZE          (MEMP_NUM_TCP_PCB * 4 + 8)
#define MEM_SIZE                (MEMP_NUM_TCP_PCB * (TCP_SND_BUF + 4 * 200) + 4096)
