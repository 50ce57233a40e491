#!/usr/bin/env bash
# A real Slurm on one machine, for tests: munge, MariaDB, slurmdbd (sacct answers), slurmctld and N slurmd nodes with two CPUs and one
# pretend GPU each. Debian or Ubuntu, root; loopback only; nothing outside its own folder is written.
#
#   local_cluster.sh install            get the Debian packages that are missing
#   local_cluster.sh with N COMMAND...  start N nodes, run a command with $SLURM_CONF set, stop them; its exit code is the command's
#   local_cluster.sh up [N]             start N nodes (4 unless given) and wait until all are idle
#   local_cluster.sh kill NODE          kill a node's slurmd (n1, n2, ...): its jobs run on as orphans
#   local_cluster.sh dead NODE          kill a node's slurmd and every process of its jobs: the machine is gone
#   local_cluster.sh start NODE         bring a node back
#   local_cluster.sh sacct off|on       stop or start the accounting
#   local_cluster.sh down               stop everything that this script started
#
# State and logs lie in $SLURM_LOCAL_DIR. Partitions: debug (the default), low (requeued by jobs in high), high, short (one minute at most).
set -euo pipefail
DIR=${SLURM_LOCAL_DIR:-${TMPDIR:-/tmp}/slurm-local}
PORT=${SLURM_LOCAL_PORT:-26800}
export SLURM_CONF=$DIR/etc/slurm.conf

wait_for() { # wait_for WHAT SECONDS COMMAND...
    local what=$1 end=$((SECONDS + $2))
    shift 2
    until "$@" >/dev/null 2>&1; do
        if ((SECONDS > end)); then
            echo "local_cluster: $what did not start; the logs are in $DIR" >&2
            exit 1
        fi
        sleep 0.2
    done
}

install() {
    local missing=()
    for pair in slurmctld:slurm-wlm slurmdbd:slurmdbd munged:munge mariadbd:mariadb-server; do
        command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}")
    done
    [ ${#missing[@]} = 0 ] && return
    if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
        echo "local_cluster: ${missing[*]} are missing, and this is not root on a Debian machine; docs/cluster.md says what to install" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# cred_expire is also how long Slurm waits before it starts a requeued job again: two minutes unless told.
configure() {
    local nodes=$1 i
    cat >"$DIR"/etc/slurmdbd.conf <<END
AuthType=auth/munge
DbdHost=localhost
DbdPort=$((PORT + 2))
SlurmUser=root
LogFile=$DIR/slurmdbd.log
PidFile=$DIR/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT + 3))
StorageUser=slurm
StoragePass=local
StorageLoc=slurm_acct_db
AuthInfo=socket=$DIR/munge/socket
END
    chmod 600 "$DIR"/etc/slurmdbd.conf
    cat >"$DIR"/etc/slurm.conf <<END
ClusterName=local
SlurmctldHost=localhost
SlurmctldPort=$((PORT + 1))
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$DIR/munge/socket,cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
ReturnToService=2
SwitchType=switch/none
StateSaveLocation=$DIR/state
SlurmdSpoolDir=$DIR/spool.%n
SlurmctldPidFile=$DIR/slurmctld.pid
SlurmdPidFile=$DIR/slurmd.%n.pid
SlurmctldLogFile=$DIR/slurmctld.log
SlurmdLogFile=$DIR/slurmd.%n.log
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=2,bf_interval=2,sched_min_interval=0,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
MaxArraySize=1001
SlurmdTimeout=10
InactiveLimit=0
KillWait=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal,idle_on_node_suspend
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePort=$((PORT + 2))
AccountingStoragePass=$DIR/munge/socket
AccountingStorageEnforce=associations
JobAcctGatherType=jobacct_gather/linux
JobRequeue=1
NodeName=n[1-$nodes] NodeHostname=localhost Port=[$((PORT + 11))-$((PORT + 10 + nodes))] CPUs=2 RealMemory=5000 Gres=gpu:1 State=UNKNOWN
PartitionName=debug Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=20
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=ALL MaxTime=1 State=UP PriorityTier=1 PreemptMode=OFF
END
    : >"$DIR"/etc/gres.conf
    for i in $(seq "$nodes"); do
        [ -e "$DIR"/gpu"$i" ] || mknod -m 666 "$DIR"/gpu"$i" c 1 3
        echo "NodeName=n$i Name=gpu File=$DIR/gpu$i" >>"$DIR"/etc/gres.conf
        mkdir -p "$DIR/spool.n$i"
    done
}

# One of its own, so that clusters beside each other come and go as they like.
start_munge() {
    mkdir -p "$DIR"/munge
    chown munge: "$DIR"/munge
    su -s /bin/sh munge -c "/usr/sbin/munged --socket='$DIR/munge/socket' --pid-file='$DIR/munge/pid' --log-file='$DIR/munge/log' \
        --seed-file='$DIR/munge/seed'"
}

start_database() {
    [ -d "$DIR"/mysql/mysql ] || mariadb-install-db --user=mysql --datadir="$DIR"/mysql >/dev/null 2>&1
    setsid mariadbd --no-defaults --user=mysql --datadir="$DIR"/mysql --socket="$DIR"/mysql/sock --bind-address=127.0.0.1 \
        --port=$((PORT + 3)) --pid-file="$DIR"/mysql/pid >"$DIR"/mariadb.log 2>&1 </dev/null &
    wait_for MariaDB 60 mariadb --no-defaults -S "$DIR"/mysql/sock -e 'select 1'
    mariadb --no-defaults -S "$DIR"/mysql/sock -e "create database if not exists slurm_acct_db;
        create user if not exists 'slurm'@'127.0.0.1' identified by 'local'; grant all on slurm_acct_db.* to 'slurm'@'127.0.0.1';"
}

all_idle() { [ "$(sinfo -h -N -p debug -t idle -o %N | sort -u | wc -l)" = "$1" ]; }

up() {
    local nodes=${1:-4} i
    mkdir -p "$DIR"/etc "$DIR"/state "$DIR"/mysql
    chmod 755 "$DIR"
    chown mysql: "$DIR"/mysql
    start_munge
    configure "$nodes"
    start_database
    slurmdbd
    wait_for slurmdbd 120 sacctmgr -n -i list cluster
    sacctmgr -n -i add cluster local >/dev/null 2>&1 || true
    slurmctld
    wait_for slurmctld 60 scontrol ping
    sacctmgr -n -i add account lab >/dev/null 2>&1 || true
    sacctmgr -n -i add user root account=lab defaultaccount=lab >/dev/null 2>&1 || true
    for i in $(seq "$nodes"); do slurmd -N "n$i"; done
    wait_for 'the nodes' 60 all_idle "$nodes"
}

stop() { # stop PIDFILE [SIGNAL]: and wait until the process is gone
    local pid i
    pid=$(cat "$1" 2>/dev/null) || return 0
    kill "${2:--TERM}" "$pid" 2>/dev/null || return 0
    for i in $(seq 50); do
        [[ $(awk '/^State:/ {print $2}' "/proc/$pid/status" 2>/dev/null) =~ ^[^ZX] ]] || return 0
        [ "$i" != 40 ] || kill -KILL "$pid" 2>/dev/null || return 0
        sleep 0.2
    done
}

jobs_of() { # every process of a node's jobs, and the slurmstepd above it
    local environ pid parent
    for environ in /proc/[0-9]*/environ; do
        pid=${environ#/proc/}
        pid=${pid%/environ}
        tr '\0' '\n' <"$environ" 2>/dev/null | grep -cx -e "SLURMD_NODENAME=$1" -e "SLURM_CONF=$SLURM_CONF" | grep -qx 2 || continue
        echo "$pid"
        parent=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status" 2>/dev/null) || continue
        grep -q '^slurmstepd' "/proc/$parent/comm" 2>/dev/null && echo "$parent"
    done 2>/dev/null | sort -un
}

dead() {
    local pids
    stop "$DIR/slurmd.$1.pid" -KILL
    pids=$(jobs_of "$1")
    # shellcheck disable=SC2086
    [ -z "$pids" ] || kill -KILL $pids 2>/dev/null || true
}

down() {
    local file
    timeout 10 scancel -f --user root >/dev/null 2>&1 || true
    for file in "$DIR"/slurmd.*.pid "$DIR"/slurmctld.pid; do stop "$file"; done
    for file in $(seq 16); do dead "n$file"; done
    stop "$DIR"/slurmdbd.pid
    stop "$DIR"/mysql/pid
    stop "$DIR"/munge/pid
    rm -rf "$DIR"
}

case "${1:-}" in
install) install ;;
up) up "${2:-4}" ;;
with)
    nodes=$2
    shift 2
    trap down EXIT
    up "$nodes"
    "$@"
    ;;
kill) stop "$DIR/slurmd.$2.pid" -KILL ;;
dead) dead "$2" ;;
start)
    slurmd -N "$2"
    # A node that was given up for dead comes back by itself (ReturnToService=2); one that was not is told so.
    scontrol update "NodeName=$2" State=RESUME >/dev/null 2>&1 || true
    ;;
sacct)
    if [ "$2" = off ]; then stop "$DIR"/slurmdbd.pid; else slurmdbd; fi
    ;;
down) down ;;
*)
    sed -n '2,17p' "$0" | cut -c3-
    exit 2
    ;;
esac
