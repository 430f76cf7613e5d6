-- wrk: hosts and paths of many_routes.py by chance; one in ten has the header of a route by header.
math.randomseed(20240607)

local hosts, paths = 1000, 9

function request()
  local host = math.random(0, hosts - 1)
  local headers = { ["Host"] = string.format("h%d.example", host) }
  if math.random(10) == 1 then
    headers["x-tenant"] = string.format("t%d", host)
  end
  local path = string.format("/area%d/item", math.random(0, paths - 1))
  return wrk.format("GET", path, headers)
end
