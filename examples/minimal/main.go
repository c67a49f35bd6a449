// Minimal is a SIP server that sends the REGISTERs of phones to a PBX, and
// knows from its answers where the phones are.
package main

import (
	"context"
	"flag"
	"log"
	"net"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"

	"github.com/sipward/sipward/location"
	"github.com/sipward/sipward/registrar"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:5060", "UDP address of this server")
	pbx := flag.String("pbx", "127.0.0.1:5080", "UDP address of the PBX")
	flag.Parse()
	conn, err := net.ListenPacket("udp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(serve(conn, *pbx, location.NewMemory(location.MemoryConfig{})))
}

// serve registers phones at pbx and keeps in store where they are.
func serve(conn net.PacketConn, pbx string, store location.Store) error {
	reg, err := registrar.New(registrar.Config{Store: store, Hooks: registrar.Hooks{Committed: func(c registrar.Commit) {
		log.Printf("%v: %d contacts bound, %d removed, err: %v", c.AOR, len(c.Change.Put), len(c.Change.Remove), c.Err)
	}}})
	if err != nil {
		return err
	}
	ua, _ := sipgo.NewUA() // fails, as the next two, on bad options only
	defer ua.Close()
	server, _ := sipgo.NewServer(ua)
	client, _ := sipgo.NewClient(ua)
	local := conn.LocalAddr().(*net.UDPAddr)
	server.OnRegister(reg.Wrap(func(req *sip.Request, tx sip.ServerTransaction) {
		out := req.Clone()
		out.SetDestination(pbx)
		out.Laddr = sip.Addr{IP: local.IP, Port: local.Port} // where the PBX sends calls to
		res, err := client.Do(context.Background(), out, sipgo.ClientRequestAddVia, sipgo.ClientRequestDecreaseMaxForward)
		if err != nil {
			log.Print(err)
			res = sip.NewResponseFromRequest(req, sip.StatusRequestTimeout, "Request Timeout", nil)
		} else {
			res.RemoveHeader("Via") // ours
		}
		res.SetDestination(req.Source()) // through the phone's NAT
		if err := tx.Respond(res); err != nil {
			log.Print(err)
		}
	}))
	return server.ServeUDP(conn)
}
