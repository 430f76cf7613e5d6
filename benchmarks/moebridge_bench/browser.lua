-- wrk: a request as browsers send it, 20 headers and cookies, to another path each time.
local headers = {
  ["Accept"] = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
  ["Accept-Encoding"] = "gzip, deflate, br, zstd",
  ["Accept-Language"] = "en-GB,en;q=0.9,de-DE;q=0.7,de;q=0.6",
  ["Cache-Control"] = "max-age=0",
  ["Cookie"] = "session=8b1a9953c4611296a827abf8c47804d7; theme=dark; consent=analytics%3D0; "
    .. "cart=eyJpdGVtcyI6W3sic2t1IjoiQTEyMyIsIm4iOjJ9XX0; visited=1730000000.1731111111",
  ["DNT"] = "1",
  ["Origin"] = "https://shop.example",
  ["Pragma"] = "no-cache",
  ["Priority"] = "u=0, i",
  ["Referer"] = "https://shop.example/catalogue/shoes?page=3&sort=price",
  ["Sec-CH-UA"] = '"Chromium";v="130", "Not?A_Brand";v="99"',
  ["Sec-CH-UA-Mobile"] = "?0",
  ["Sec-CH-UA-Platform"] = '"Linux"',
  ["Sec-Fetch-Dest"] = "document",
  ["Sec-Fetch-Mode"] = "navigate",
  ["Sec-Fetch-Site"] = "same-origin",
  ["Sec-Fetch-User"] = "?1",
  ["Upgrade-Insecure-Requests"] = "1",
  ["User-Agent"] = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    .. "Chrome/130.0.0.0 Safari/537.36",
}

local count = 0

function request()
  count = count + 1
  local path = string.format("/shop/item-%d/%x?ref=%d", count % 9973, count * 2654435761, count % 97)
  return wrk.format("GET", path, headers)
end
