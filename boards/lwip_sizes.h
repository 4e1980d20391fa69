// lwIP's pools for 8 connections: 4 sessions, each with its send buffer full, and 4 strangers, who are sent 16 bytes.
// Nobody sends a relay more than a frame of 272 bytes before it answers, so receive windows are small. 40 KiB of RAM.
// The defaults (lwipopts_common.h: 8000 bytes of heap for 6400 bytes of send buffer a connection) run dry as soon as one
// connection sends in bulk, and PPP then drops packets or the socket says ENOMEM.
#define SESSIONS                (4)
#define STRANGERS               (4)
#define MEMP_NUM_TCP_PCB        (SESSIONS + STRANGERS)
#define TCP_MSS                 (800)
#define TCP_WND                 (2 * TCP_MSS)
#define TCP_SND_BUF             (4 * TCP_MSS)
#define TCP_SND_QUEUELEN        (16)
#define MEMP_NUM_TCP_SEG        (MEMP_NUM_TCP_PCB * TCP_SND_QUEUELEN)
#define PBUF_POOL_SIZE          (MEMP_NUM_TCP_PCB * 2 + 8)
#define MEM_SIZE                (SESSIONS * (TCP_SND_BUF + 4 * 200) + STRANGERS * 256 + 4096)
