/* x-forwarded-client-cert of a request. */
#ifndef MB_SERVER_HTTP_CLIENT_CERT_H
#define MB_SERVER_HTTP_CLIENT_CERT_H

#include "config/hcm_config.h"
#include "filter/stream.h"

/* Takes it off, leaves it, or says what the client's certificate says. MB_OK or MB_ENOMEM. */
int mb__http_client_cert(mb_stream *stream, const mb_client_cert_config *config);

#endif
