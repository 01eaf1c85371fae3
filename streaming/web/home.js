/* The server that this page came from. Every address is relative to the page's own: a proxy may serve us under a
   prefix. A page in a frame of another site has its token in its address, any other in a cookie. */

import { Server } from "../client/server.js";

export const server = new Server(document.baseURI, new URLSearchParams(location.search).get("token"));
