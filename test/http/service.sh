# Sourced: starts examples/fastapi on a free port for the server that PGHOST and PGPORT name.
# start_service DATABASE APP_ROLE REPORT_ROLE sets $service (its process id) and $service_port.
start_service() {
	local try
	service_port=$(/usr/bin/python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
	APP_DATABASE_URL="host=$PGHOST port=$PGPORT dbname=$1 user=$2" \
		REPORT_DATABASE_URL="host=$PGHOST port=$PGPORT dbname=$1 user=$3" \
		PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m uvicorn --app-dir examples/fastapi app:app \
		--host 127.0.0.1 --port "$service_port" --log-level warning >"$work/service.log" 2>&1 &
	service=$!
	for try in $(seq 150); do
		curl -s -o /dev/null "http://127.0.0.1:$service_port/docs" && return
		kill -0 "$service" 2>/dev/null || break
		sleep 0.1
	done
	sed 's/^/# /' "$work/service.log"
	echo "Bail out! the service did not start"
	exit 1
}
